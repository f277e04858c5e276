package main

import (
	"bytes"
	"context"
	"testing"
	"time"
)

// TestCheckTakesTooLong: crak ps gives a check up that takes too long, and says so.
func TestCheckTakesTooLong(t *testing.T) {
	ctx, cancel := context.WithDeadline(context.Background(), time.Now())
	defer cancel()
	c, inTime := checkApart(ctx, 1)
	if inTime || c.OK || len(c.Obstacles) != 1 {
		t.Fatalf("%+v", c)
	}
	contains(t, c.Obstacles[0].Why, "has not ended within 10 s")
}

// TestBounded: what a check prints beyond a bound is not kept.
func TestBounded(t *testing.T) {
	var b bounded
	for range 3 {
		if n, err := b.Write(make([]byte, longestCheck/2+1)); n != longestCheck/2+1 || err != nil {
			t.Fatal(n, err)
		}
	}
	if b.Len() != longestCheck || bytes.Count(b.Bytes(), []byte{0}) != longestCheck {
		t.Error(b.Len())
	}
}
