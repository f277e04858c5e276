/* NUMA policies of mappings and of threads (numa(7)); registrations for memory barriers (membarrier(2)). */
#include "check.h"

#include <linux/membarrier.h>
#include <linux/mempolicy.h>
#include <pthread.h>
#include <sys/mman.h>

#ifndef MEMBARRIER_CMD_GET_REGISTRATIONS
#define MEMBARRIER_CMD_GET_REGISTRATIONS (1 << 9)
#endif

enum { SIZE = 16 * 4096, MANY = 1024 };
static const unsigned long first_node = 1;
static volatile int interleaved;

static void has_policy(void *at, int want, unsigned long want_nodes)
{
	unsigned long nodes[MANY / 64];
	int mode = -1;

	CHECK(syscall(SYS_get_mempolicy, &mode, nodes, MANY, at, at ? MPOL_F_ADDR : 0) == 0);
	EQUAL(mode, want);
	EQUAL(nodes[0], want_nodes);
}

static void bind_to(void *at, int mode)
{
	CHECK(syscall(SYS_mbind, at, SIZE, mode, &first_node, 64, 0) == 0);
}

static void *other(void *unused)
{
	CHECK(syscall(SYS_set_mempolicy, MPOL_INTERLEAVE, &first_node, 64) == 0);
	interleaved = 1;
	await_go();
	has_policy(0, MPOL_INTERLEAVE, 1);
	return unused;
}

int main(void)
{
	char *bound = mmap(0, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *stays = mmap(0, SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *shared = mmap(0, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *plain = mmap(0, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int numa = syscall(SYS_get_mempolicy, 0, 0, 0, 0, 0) == 0;
	int registered = syscall(SYS_membarrier, MEMBARRIER_CMD_GET_REGISTRATIONS, 0);
	pthread_t thread;

	if (numa) {
		bind_to(bound, MPOL_BIND);
		bind_to(stays, MPOL_INTERLEAVE | MPOL_F_STATIC_NODES);
		bind_to(shared, MPOL_PREFERRED);
		fill(bound, SIZE, 1);
		fill(shared, SIZE, 2);
		CHECK(pthread_create(&thread, 0, other, 0) == 0);
		while (!interleaved)
			pause_ms(1);
	}
	EQUAL(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0), -1);
	CHECK(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0) == 0);
	CHECK(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0) == 0);
	CHECK(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0) == 0);
	if (registered >= 0)
		registered = syscall(SYS_membarrier, MEMBARRIER_CMD_GET_REGISTRATIONS, 0);
	ready();
	await_go();
	CHECK(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0) == 0);
	CHECK(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0) == 0);
	EQUAL(syscall(SYS_membarrier, 1 << 7 /* MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ */, 0), -1);
	if (registered >= 0)
		EQUAL(syscall(SYS_membarrier, MEMBARRIER_CMD_GET_REGISTRATIONS, 0), registered);
	if (numa) {
		has_policy(bound, MPOL_BIND, 1);
		has_policy(stays, MPOL_INTERLEAVE | MPOL_F_STATIC_NODES, 1);
		has_policy(shared, MPOL_PREFERRED, 1);
		has_policy(plain, MPOL_DEFAULT, 0);
		has_policy(0, MPOL_DEFAULT, 0);
		check_filled(bound, SIZE, 1);
		check_filled(shared, SIZE, 2);
		CHECK(pthread_join(thread, 0) == 0);
	}
	pass();
}
