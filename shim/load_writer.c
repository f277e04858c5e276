/*
 * Loading the writer: the Go program that lies behind the resident in this file.
 *
 *	execve -> the kernel and the loader map the resident, as they would any program -> crak_entry
 *	   -> load_writer maps Go's segments and relocates them -> the C library's start -> Go
 *
 * The layout is that of crak.ld; postlink has hidden the segments from the loader.
 *
 * Preconditions: nothing of Go has run, nor the resident's constructor.
 */

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "resident.h"

#define SHT_WRITER 0x6372616b /* given by postlink */
#define PAGE 4096
#define page_down(n) ((n) & -(unsigned long)PAGE)
#define page_up(n) page_down((n) + PAGE - 1)
#define at(symbol) ((unsigned long)(symbol))

/* Defined by crak.ld. Weak, so that a plain `go build` links, too. */
#define LINKER __attribute__((visibility("hidden"), weak))
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern char writer_text[] LINKER, writer_rodata[] LINKER, writer_data[] LINKER, writer_bss[] LINKER, writer_end[] LINKER;
extern const Elf64_Rela writer_rela[] LINKER, writer_rela_end[] LINKER;
extern void (*const writer_init[])(int, char **, char **) LINKER;

extern void crak_writer(void); /* writer.go */
void load_writer(void);
void writer_start(int, char **, char **);
int writer_main(void);

static void __attribute__((noreturn)) give_up(void)
{
	static const char text[] = "crak: the writer in this libcrak.so cannot be mapped: too little memory (ulimit -v, -d), or "
				   "a damaged file\n";

	SYSCALL_3(SYS_write, 2, text, sizeof(text) - 1);
	for (;;)
		SYSCALL_1(SYS_exit_group, 126);
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

/* The file offset of the writer's section. */
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
	for (const Elf64_Rela *r = writer_rela; r < writer_rela_end; r++) /* all R_X86_64_RELATIVE: postlink makes sure */
		*(unsigned long *)(base + r->r_offset) = base + r->r_addend;
	/* The reaper starts us with every signal blocked. */
	SYSCALL_4(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none));
}

/* In place of the library's constructors: Go's, which starts its runtime in a thread. */
void writer_start(int argc, char **argv, char **envp)
{
	writer_init[0](argc, argv, envp);
}

int writer_main(void)
{
	crak_writer();
	return 0;
}
