/* A raw system call. It returns -errno on failure. */
#ifndef CRAK_INTERP_SYS_H
#define CRAK_INTERP_SYS_H

long interp_call(const unsigned long long args[6], long number);

static inline long sys(long number, unsigned long long a, unsigned long long b, unsigned long long c,
		       unsigned long long d)
{
	unsigned long long args[6] = { a, b, c, d, 0, 0 };
	return interp_call(args, number);
}

static inline unsigned long long address(const volatile void *p)
{
	return (unsigned long long)p;
}

static inline int failed(long result)
{
	return result < 0 && result > -4096;
}

#endif
