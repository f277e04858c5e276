/*
 * Loads the writer: the Go program that lies behind the resident in libcrak.so.
 *
 *	execve -> the kernel and the dynamic loader map the resident, as any program -> crak_entry
 *	   -> load_writer maps and relocates Go's segments -> __libc_start_main -> Go
 *
 * crak.ld defines the layout of the file. postlink has removed Go's segments from the program headers, so the loader does not
 * map them.
 *
 * Preconditions: no Go code has run, and the resident's constructor has not run.
 */

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "resident.h"

#define SHT_WRITER 0x6372616b /* section type that postlink sets */
#define PAGE 4096
#define page_down(n) ((n) & -(unsigned long)PAGE)
#define page_up(n) page_down((n) + PAGE - 1)
#define at(symbol) ((unsigned long)(symbol))

/* crak.ld defines these symbols. They are weak, so that a plain `go build` links without crak.ld. */
#define LINKER __attribute__((visibility("hidden"), weak))
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern char writer_text[] LINKER, writer_rodata[] LINKER, writer_data[] LINKER, writer_bss[] LINKER, writer_end[] LINKER;
extern const Elf64_Rela writer_rela[] LINKER, writer_rela_end[] LINKER;
extern void (*const writer_init[])(int, char **, char **) LINKER;

extern void crak_writer(void); /* writer.go */
void load_writer(void);
void writer_start(int, char **, char **);
int writer_main(void);

static void __attribute__((noreturn)) end(const char *text, size_t length)
{
	SYSCALL_3(SYS_write, 2, text, length);
	for (;;)
		SYSCALL_1(SYS_exit_group, 126);
}

static void __attribute__((noreturn)) give_up(void)
{
	static const char text[] = "crak: the writer in this libcrak.so cannot be mapped: there is too little memory (ulimit -v, "
				   "-d), or the file is damaged\n";

	end(text, sizeof(text) - 1);
}

/* With fewer descriptors Go's runtime ends with a dump of its stacks, or the writer cannot open its log. crak needs as many
 * (cmd/crak/entry.go). The writer starts with descriptors 0, 1 and 2 only. */
static void need_descriptors(void)
{
	enum { NEEDED = 3 + 32 };
	static const char text[] = "crak: too few open files are allowed for the writer (ulimit -n)\n";
	struct rlimit64 limit;

	if (!SYSCALL_4(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit) && limit.rlim_max < NEEDED)
		end(text, sizeof(text) - 1);
}

static void map(unsigned long address, unsigned long end, int protection, int flags, int fd, uint64_t offset)
{
	if (end > address && SYSCALL_6(SYS_mmap, address, end - address, protection, MAP_PRIVATE | MAP_FIXED_NOREPLACE | flags,
				       fd, offset) != (long)address)
		give_up();
}

static void read_at(int fd, void *data, size_t length, uint64_t offset)
{
	if (SYSCALL_4(SYS_pread64, fd, data, length, offset) != (long)length)
		give_up();
}

/* Returns the file offset of the writer's section. */
static uint64_t find_writer(int fd)
{
	Elf64_Ehdr header;
	Elf64_Shdr section;

	read_at(fd, &header, sizeof(header), 0);
	for (int i = 0; i < header.e_shnum; i++) {
		read_at(fd, &section, sizeof(section), header.e_shoff + i * sizeof(section));
		if (section.sh_type == SHT_WRITER && section.sh_offset % PAGE == 0)
			return section.sh_offset;
	}
	give_up();
}

void load_writer(void)
{
	unsigned long base = at(__ehdr_start), none = 0;
	int fd = SYSCALL_4(SYS_openat, AT_FDCWD, "/proc/self/exe", O_RDONLY | O_CLOEXEC, 0);
	uint64_t offset;

	need_descriptors();
	if (fd < 0)
		give_up();
	offset = find_writer(fd) - at(writer_text);
	map(at(writer_text), at(writer_rodata), PROT_READ | PROT_EXEC, 0, fd, offset + at(writer_text));
	map(at(writer_rodata), at(writer_data), PROT_READ, 0, fd, offset + at(writer_rodata));
	map(at(writer_data), page_up(at(writer_bss)), PROT_READ | PROT_WRITE, 0, fd, offset + at(writer_data));
	for (volatile char *p = writer_bss; at(p) < page_up(at(writer_bss)); p++)
		*p = 0;
	map(page_up(at(writer_bss)), page_up(at(writer_end)), PROT_READ | PROT_WRITE, MAP_ANONYMOUS, -1, 0);
	SYSCALL_1(SYS_close, fd);
	for (const Elf64_Rela *r = writer_rela; r < writer_rela_end; r++) /* postlink has checked: all are R_X86_64_RELATIVE */
		*(unsigned long *)(base + r->r_offset) = base + r->r_addend;
	/* The reaper starts the writer with every signal blocked. */
	SYSCALL_4(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none));
}

/* Runs in place of the library's constructors: calls Go's constructor, which starts Go's runtime in a thread. */
void writer_start(int argc, char **argv, char **envp)
{
	writer_init[0](argc, argv, envp);
}

int writer_main(void)
{
	crak_writer();
	return 0;
}
