package image

import (
	"fmt"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/rights"
)

// othersWrite says who besides user uid and root can write to an open file or directory: "" for nobody.
func othersWrite(fd int, st *unix.Stat_t, uid uint32) string {
	switch {
	case st.Mode&unix.S_IWOTH != 0:
		return "every user"
	case st.Mode&unix.S_IWGRP == 0:
		return ""
	case hasACL(fd): // then the bits of the group are the most that the list allows anybody
		return "whoever its access control list names"
	case rights.System.IsAlone(uid, st.Gid):
		return ""
	}
	return fmt.Sprintf("group %d", st.Gid)
}

// hasACL looks through /proc, as extended attributes are not to be had of what is open with O_PATH.
func hasACL(fd int) bool {
	n, err := unix.Getxattr(fmt.Sprintf("/proc/self/fd/%d", fd), "system.posix_acl_access", nil)
	return err == nil && n > 0
}
