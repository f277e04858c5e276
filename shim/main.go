package main

/*
#cgo CFLAGS: -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -fvisibility=hidden -I${SRCDIR}/../internal/abi
#cgo LDFLAGS: -Wl,--wrap=pthread_create -Wl,-e,crakentry -ldl
*/
import "C"

import (
	"fmt"
	"os"
)

//export crakWriter
func crakWriter(argc C.int, argv **C.char) C.int {
	fmt.Println("writer", os.Args)
	return 0
}

func main() {}
