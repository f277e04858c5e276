/*
 * hangs DIRECTORY UID: mounts a FUSE file system on the directory, as fusermount(1) does for a user. Then it becomes that user and
 * maps a file of the file system, whose server answers nothing any more. It copies its input to its output. The server, which is
 * no child of the program, ends when the program has ended. Started by root.
 */
#include <fcntl.h>
#include <grp.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = 4096, FILE_NODE = 2 };

static void must(int ok, const char *what)
{
	if (!ok) {
		perror(what);
		_exit(1);
	}
}

static void become(int uid)
{
	must(setgroups(0, NULL) == 0 && setresgid(uid, uid, uid) == 0 && setresuid(uid, uid, uid) == 0, "setresuid");
	must(prctl(PR_SET_DUMPABLE, 1) == 0, "prctl");
}

static struct fuse_attr attributes(uint64_t node)
{
	struct fuse_attr a = { .ino = node, .mode = node == FILE_NODE ? S_IFREG | 0644 : S_IFDIR | 0755, .size = SIZE, .nlink = 1,
			       .uid = getuid(), .gid = getgid(), .blksize = SIZE };

	return a;
}

/* Answers requests, until it has answered one to read the file. No answer may be kept: each stat(2) asks again. */
static void serve(int fd)
{
	static char request[FUSE_MIN_READ_BUFFER + SIZE];
	struct {
		struct fuse_out_header header;
		union {
			struct fuse_init_out init;
			struct fuse_entry_out entry;
			struct fuse_attr_out attr;
			struct fuse_open_out open;
			char data[SIZE];
		};
	} reply;
	const struct fuse_in_header *in = (void *)request;

	for (;;) {
		size_t length = 0;

		if (read(fd, request, sizeof(request)) <= 0)
			return;
		memset(&reply, 0, sizeof(reply));
		switch (in->opcode) {
		case FUSE_INIT:
			reply.init.major = FUSE_KERNEL_VERSION;
			reply.init.minor = FUSE_KERNEL_MINOR_VERSION;
			reply.init.max_write = SIZE;
			length = sizeof(reply.init);
			break;
		case FUSE_LOOKUP:
			reply.entry.nodeid = FILE_NODE;
			reply.entry.attr = attributes(FILE_NODE);
			length = sizeof(reply.entry);
			break;
		case FUSE_GETATTR:
			reply.attr.attr = attributes(in->nodeid);
			length = sizeof(reply.attr);
			break;
		case FUSE_OPEN:
			length = sizeof(reply.open);
			break;
		case FUSE_READ:
			length = SIZE;
			break;
		default:
			reply.header.error = -38; /* ENOSYS */
		}
		reply.header.unique = in->unique;
		reply.header.len = sizeof(reply.header) + length;
		if (in->opcode != FUSE_FORGET && write(fd, &reply, reply.header.len) < 0)
			perror("FUSE reply");
		if (in->opcode == FUSE_READ)
			return;
	}
}

int main(int argc, char **argv)
{
	char path[4096], options[100], line[100];
	int uid = argc == 3 ? atoi(argv[2]) : 0, end = syscall(SYS_pidfd_open, getpid(), 0), fd = open("/dev/fuse", O_RDWR);
	ssize_t got;
	char *page;

	must(fd >= 0, "/dev/fuse");
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=%d,group_id=%d", fd, uid, uid);
	must(mount("hangs", argv[1], "fuse", MS_NOSUID | MS_NODEV, options) == 0, "mount");
	become(uid);
	if (fork() == 0) {
		if (fork() == 0) {
			close(0);
			close(1);
			alarm(120);
			serve(fd);
			poll(&(struct pollfd){ .fd = end, .events = POLLIN }, 1, -1); /* until the program has ended */
		}
		_exit(0);
	}
	wait(NULL);
	close(fd);
	snprintf(path, sizeof(path), "%s/file", argv[1]);
	fd = open(path, O_RDONLY);
	must(fd >= 0, path);
	page = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
	must(page != MAP_FAILED, "mmap");
	close(fd); /* while the server still answers: it would not answer FUSE_FLUSH, and the program could not end */
	must(*(volatile char *)page == 0, "page");
	while ((got = read(0, line, sizeof(line))) > 0)
		must(write(1, line, got) == got, "write");
	return 0;
}
