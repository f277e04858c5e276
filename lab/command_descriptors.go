package lab

import "strconv"

func cmdDescriptors(s *session, c *call) error {
	if _, err := strconv.ParseUint(c.args[0], 10, 31); err != nil {
		return err
	}
	s.descriptors = c.args[0]
	return nil
}
