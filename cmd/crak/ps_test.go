package main

import (
	"context"
	"testing"
	"time"
)

// TestCheckTakesTooLong: crak ps gives a check up that takes too long, and says so.
func TestCheckTakesTooLong(t *testing.T) {
	ctx, cancel := context.WithDeadline(context.Background(), time.Now())
	defer cancel()
	c := checkApart(ctx, 1)
	if c.OK || len(c.Obstacles) != 1 {
		t.Fatalf("%+v", c)
	}
	contains(t, c.Obstacles[0].Why, "has not ended within 10 s")
}
