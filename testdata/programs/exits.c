/* Ends with exit status 7. */
#include "check.h"

int main(void)
{
	ready();
	await_go();
	return 7;
}
