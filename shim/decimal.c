/* Decimal numbers, which the resident reads and writes without stdio. */

#include "resident.h"

/* Writes at least `digits` digits and a null byte. Returns the address of the null byte. */
char *decimal_write(char *text, long number, int digits)
{
	char reversed[DECIMAL_MAX];
	int n = 0;

	for (; number > 0 || n < digits; number /= 10)
		reversed[n++] = '0' + number % 10;
	while (n > 0)
		*text++ = reversed[--n];
	*text = 0;
	return text;
}

/* Reads digits. Returns the address of the first byte that is not one; without any, the value is 0. */
const char *decimal_read(const char *text, int *value)
{
	for (*value = 0; *text >= '0' && *text <= '9'; text++)
		*value = *value * 10 + (*text - '0');
	return text;
}
