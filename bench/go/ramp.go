package main

import (
	"sync/atomic"
	"time"
)

const (
	look  = 10 * time.Millisecond
	looks = 10 // the rate at a time is that of so many looks
)

// sight is what had been moved at a time.
type sight struct {
	seconds float64
	moved   uint64
}

// watch looks again and again, until all has been moved.
func watch(moved *atomic.Uint64, all uint64) []sight {
	started := time.Now()
	log := []sight{{}}
	for log[len(log)-1].moved < all {
		time.Sleep(look)
		log = append(log, sight{time.Since(started).Seconds(), moved.Load()})
	}
	return log
}

// rampMs is when the rate first stood at nine tenths of that of the later half.
func rampMs(log []sight) any {
	rate := func(from, to sight) float64 { return float64(to.moved-from.moved) / (to.seconds - from.seconds) }
	last := log[len(log)-1]
	half := 0
	for log[half].moved < last.moved/2 {
		half++
	}
	enough := 0.9 * rate(log[half], last)
	for i := 0; i+looks < len(log); i++ {
		if rate(log[i], log[i+looks]) >= enough {
			return log[i].seconds * 1000
		}
	}
	return nil
}
