// ring ROUNDS [abort]: tokens go round, sums are reduced, and large messages cross. What the ranks have summed up is in the file sums.
// abort: they are ended without MPI_Finalize.
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LARGE = 1 << 16 };

int main(int argc, char **argv)
{
	int rank, size, rounds = atoi(argv[1]);
	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &size);
	int next = (rank + 1) % size, last = (rank + size - 1) % size;
	unsigned *out = malloc(LARGE * sizeof *out), *in = malloc(LARGE * sizeof *in);
	for (int i = 0; i < LARGE; i++)
		out[i] = i * 2654435761u + rank;
	// Each pair of ranks gets its connection now, from the lower rank. If two ranks connect to each other at once, Open MPI closes one of
	// the connections, which is in TIME_WAIT then, and has the port of a rank that listens without SO_REUSEADDR: a restart by an ordinary
	// user waits until it has ended.
	for (int from = 0; from < size; from++) {
		if (rank > from)
			MPI_Recv(in, 1, MPI_UNSIGNED, from, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
		for (int to = from + 1; rank == from && to < size; to++)
			MPI_Send(out, 1, MPI_UNSIGNED, to, 0, MPI_COMM_WORLD);
	}
	MPI_Barrier(MPI_COMM_WORLD);
	if (rank == 0) {
		printf("READY\n");
		fflush(stdout);
	}
	unsigned long sum = 0;
	for (int round = 0; round < rounds; round++) {
		unsigned token = round * size + rank, got, all;
		MPI_Sendrecv(&token, 1, MPI_UNSIGNED, next, 1, &got, 1, MPI_UNSIGNED, last, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
		if (got != (unsigned)(round * size + last)) {
			printf("rank %d round %d: got %u\n", rank, round, got);
			MPI_Abort(MPI_COMM_WORLD, 1);
		}
		MPI_Allreduce(&token, &all, 1, MPI_UNSIGNED, MPI_SUM, MPI_COMM_WORLD);
		if (round % 20 == 0) {
			MPI_Sendrecv(out, LARGE, MPI_UNSIGNED, next, 2, in, LARGE, MPI_UNSIGNED, last, 2, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
			for (int i = 0; i < LARGE; i++)
				out[i] = in[i] * 31 + i;
		}
		sum = sum * 31 + all + out[round];
		usleep(3000); /* makes the run long enough for a checkpoint in it */
	}
	unsigned long *sums = malloc(size * sizeof *sums);
	MPI_Gather(&sum, 1, MPI_UNSIGNED_LONG, sums, 1, MPI_UNSIGNED_LONG, 0, MPI_COMM_WORLD);
	FILE *f = rank == 0 ? fopen("sums", "w") : NULL;
	for (int i = 0; f && i < size; i++)
		fprintf(f, "rank %d sum %lx\n", i, sums[i]);
	if (f)
		fclose(f);
	MPI_Barrier(MPI_COMM_WORLD);
	if (argc > 2)
		MPI_Abort(MPI_COMM_WORLD, 7);
	MPI_Finalize();
	return 0;
}
