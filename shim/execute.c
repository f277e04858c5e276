/*
 * libcrak.so executed is the writer: a Go program of its own, whole and static,
 * that lies in a section of this file (payload.S).
 *
 *	execve -> kernel maps the resident's few pages -> crak_entry
 *	   -> the writer's segments are mapped from the section, as execve maps a static program
 *	   -> its entry
 *
 * Preconditions: none but what the kernel gives. Nothing is relocated, there is no C library and no thread pointer.
 */

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "payload.h"
#include "resident.h"

#define PAGE PAYLOAD_ALIGN
#define page_down(n) ((n) & -(unsigned long)PAGE)
#define page_up(n) page_down((n) + PAGE - 1)

static void __attribute__((noreturn)) give_up(void)
{
	static const char text[] = "crak: this libcrak.so is damaged: the writer in it cannot be mapped\n";

	SYSCALL_3(SYS_write, 2, text, sizeof(text) - 1);
	for (;;)
		SYSCALL_1(SYS_exit_group, 127);
}

static void read_at(int fd, void *data, size_t length, uint64_t offset)
{
	if (SYSCALL_4(SYS_pread64, fd, data, length, offset) != (long)length)
		give_up();
}

/* The section's offset in the file. */
static uint64_t find_payload(int fd)
{
	Elf64_Ehdr header;
	Elf64_Shdr section;

	read_at(fd, &header, sizeof(header), 0);
	for (int i = 0; i < header.e_shnum; i++) {
		read_at(fd, &section, sizeof(section), header.e_shoff + i * sizeof(section));
		if (section.sh_type == PAYLOAD_TYPE && section.sh_offset % PAGE == 0)
			return section.sh_offset;
	}
	give_up();
}

static void map(unsigned long address, unsigned long end, int protection, int flags, int fd, uint64_t offset)
{
	if (end > address && SYSCALL_6(SYS_mmap, address, end - address, protection, MAP_PRIVATE | MAP_FIXED_NOREPLACE | flags,
				       fd, offset) != (long)address)
		give_up();
}

static void map_segment(int fd, uint64_t payload, const Elf64_Phdr *segment)
{
	unsigned long start = page_down(segment->p_vaddr), file_end = segment->p_vaddr + segment->p_filesz;
	int protection = (segment->p_flags & PF_R ? PROT_READ : 0) | (segment->p_flags & PF_W ? PROT_WRITE : 0) |
			 (segment->p_flags & PF_X ? PROT_EXEC : 0);

	map(start, page_up(file_end), protection, 0, fd, payload + page_down(segment->p_offset));
	if (segment->p_memsz == segment->p_filesz)
		return;
	for (unsigned long at = file_end; at < page_up(file_end); at++)
		*(volatile char *)at = 0;
	map(page_up(file_end), page_up(segment->p_vaddr + segment->p_memsz), protection, MAP_ANONYMOUS, -1, 0);
}

/* Maps the writer; its entry. */
unsigned long execute(void)
{
	unsigned long none = 0;
	int fd = SYSCALL_4(SYS_openat, AT_FDCWD, "/proc/self/exe", O_RDONLY | O_CLOEXEC, 0);
	Elf64_Ehdr header;
	Elf64_Phdr segment;
	uint64_t payload;

	if (fd < 0)
		give_up();
	payload = find_payload(fd);
	read_at(fd, &header, sizeof(header), payload);
	for (int i = 0; i < header.e_phnum; i++) {
		read_at(fd, &segment, sizeof(segment), payload + header.e_phoff + i * sizeof(segment));
		if (segment.p_type == PT_LOAD)
			map_segment(fd, payload, &segment);
	}
	SYSCALL_1(SYS_close, fd);
	SYSCALL_4(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none)); /* all are blocked in a nurse's child */
	return header.e_entry;
}
