/* cc: -fopenmp */
/* OpenMP: a parallel sum in many steps, whose state is shared by a team of threads; prints the result. */
#include "check.h"

#include <omp.h>

#define N 100000
#define STEPS 1000

int main(void)
{
	static double field[N];
	double sum = 0;

	omp_set_num_threads(4);
	for (int i = 0; i < N; i++)
		field[i] = (double)(scramble(i) % 1000) / 7;
	for (int step = 0; step < STEPS; step++) {
		double part = 0;
		int busy = 0;
#pragma omp parallel for schedule(static) reduction(+ : busy)
		for (int i = 1; i < N - 1; i++) {
			field[i] = field[i] * 0.999 + (double)(i % 10) * 1e-3;
			busy++;
		}
		CHECK(busy == N - 2);
#pragma omp parallel for schedule(static, 1000) ordered reduction(+ : part)
		for (int i = 0; i < N; i += 1000) {
			double local = 0;
			for (int j = i; j < i + 1000; j++)
				local += field[j];
#pragma omp ordered
			part += local > 0;
		}
		sum += part + field[step % N];
		if (step == STEPS * 3 / 4)
			await_go();
		if (step == STEPS / 4) {
			printf("step %d: %.10g\n", step, sum);
			fflush(stdout);
			ready();
		}
	}
	printf("sum %.12g\n", sum);
	fflush(stdout);
	pass();
}
