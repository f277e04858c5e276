/* Compiled with crak.h and run without libcrak.so: the functions of crak.h do nothing. */
#include "check.h"

#include "crak.h"

int main(void)
{
	static const struct crak_callbacks none;

	CHECK(!crak_checkpoint && !crak_on && !crak_hold && !crak_release);
	EQUAL(CRAK_CHECKPOINT(), -ENOSYS);
	EQUAL(CRAK_ON(&none), -ENOSYS);
	CRAK_HOLD();
	CRAK_RELEASE();
	pass();
}
