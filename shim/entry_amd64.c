/* What makes a shared library executable: the loader to start it with. */

const char crak_loader[] __attribute__((section(".interp"), used, visibility("hidden"))) =
	"/lib64/ld-linux-x86-64.so.2";
