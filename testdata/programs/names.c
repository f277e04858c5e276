/* Names that are not valid UTF-8: of open and mapped files, a directory and a thread. */
#include "check.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

static const char *const names[] = {"a b", "new\nline", "back\\slash", "x (deleted)", "\xc3\xa4\xff", "\xf4\x8f\xbf\x81"};
#define COUNT (sizeof names / sizeof *names)
#define THREAD "\xff\x01 \x80\n) R"

int main(void)
{
	int fds[COUNT];
	char *memory[COUNT], text[32], go[500];

	CHECK(getcwd(go, sizeof go - 8));
	strcat(go, "/go");
	CHECK(mkdir("d\xe4r (deleted)", 0700) == 0 && chdir("d\xe4r (deleted)") == 0);
	for (size_t i = 0; i < COUNT; i++) {
		fds[i] = open(names[i], O_CREAT | O_RDWR, 0600);
		CHECK(fds[i] >= 0 && write(fds[i], names[i], strlen(names[i])) > 0);
		memory[i] = mmap(NULL, 4096, PROT_READ | PROT_WRITE, i % 2 ? MAP_SHARED : MAP_PRIVATE, fds[i], 0);
		CHECK(memory[i] != MAP_FAILED);
	}
	CHECK(prctl(PR_SET_NAME, THREAD) == 0);
	ready();
	await_file(go);
	for (size_t i = 0; i < COUNT; i++) {
		memset(text, 0, sizeof text);
		CHECK(pread(fds[i], text, sizeof text - 1, 0) > 0);
		CHECK(!strcmp(text, names[i]) && !memcmp(memory[i], names[i], strlen(names[i])));
		CHECK(access(names[i], F_OK) == 0);
	}
	CHECK(prctl(PR_GET_NAME, text) == 0 && !strcmp(text, THREAD));
	pass();
}
