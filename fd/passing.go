package fd

import "errors"

// passing is the reason of an obstacle that may soon be gone if the program runs on (obstacle.Obstacle.Passes).
type passing string

func (p passing) Error() string { return string(p) }

func passes(err error) bool {
	var p passing
	return errors.As(err, &p)
}
