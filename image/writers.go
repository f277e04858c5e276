package image

import (
	"fmt"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/rights"
)

// othersWrite says which users besides uid and root can write to an open file or directory: "" for none.
func othersWrite(fd int, st *unix.Stat_t, uid uint32) string {
	switch {
	case st.Mode&unix.S_IWOTH != 0:
		return "every user"
	case st.Mode&unix.S_IWGRP == 0:
		return ""
	case hasACL(fd): // then the group bits are the most that the list allows any user
		return "whoever its access control list names"
	case rights.System.IsAlone(uid, st.Gid):
		return ""
	}
	return fmt.Sprintf("group %d", st.Gid)
}

// hasACL uses a path in /proc, because fgetxattr(2) fails for a descriptor that was opened with O_PATH.
func hasACL(fd int) bool {
	n, err := unix.Getxattr(fmt.Sprintf("/proc/self/fd/%d", fd), "system.posix_acl_access", nil)
	return err == nil && n > 0
}
