# A C project to compile: the workloads, the resident and the programs of the tests. SOURCES is the checkout.
FILES = $(wildcard $(SOURCES)/scripts/bench/workloads/*.c $(SOURCES)/shim/*.c)
OBJECTS = $(notdir $(FILES:.c=.o))

all: $(OBJECTS)
	ar rcs project.a $^

vpath %.c $(SOURCES)/scripts/bench/workloads $(SOURCES)/shim

%.o: %.c
	gcc -std=gnu11 -D_GNU_SOURCE -O2 -g -fPIC -pthread -I$(SOURCES)/shim -I$(SOURCES)/internal/abi -DABI_SUM_OF_FILE=0 -c -o $@ $<
