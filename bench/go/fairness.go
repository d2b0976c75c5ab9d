package main

import (
	"errors"
	"math"
	"slices"
	"sync/atomic"
	"time"
)

const (
	turns   = 6                      // of each of the two connections
	filling = 200 * time.Millisecond // long enough for windows and socket buffers of this machine to fill
)

func (o *options) bulkKind() byte {
	if o.down {
		return download
	}
	return upload
}

// stalled times the same transfer over two connections in turn. One of them also holds a stream that nobody
// reads from and that is as full as the stack lets it become.
func stalled(o *options) (report, error) {
	var connections [2]*connection
	for i := range connections {
		node, err := newNode(o, "")
		if err == nil {
			connections[i], err = node.dial(o.address)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := connections[1].fill(o.bulkKind()); err != nil {
		return nil, err
	}
	share := uint64(o.bytes / o.streams / turns)
	var seconds [2]float64
	var parts []float64
	errs, nothing := 0, new(atomic.Uint64)
	for range turns {
		var turn [2]float64
		for i, c := range connections {
			streams, lost, err := c.beginAll(order(o.bulkKind(), share), o.streams)
			if err != nil {
				return nil, err
			}
			errs += lost
			started := time.Now()
			if _, err := transferAll(streams, o.bulkKind(), share, nothing); err != nil {
				return nil, err
			}
			turn[i] = time.Since(started).Seconds()
			seconds[i] += turn[i]
		}
		parts = append(parts, turn[0]/turn[1])
	}
	slices.Sort(parts)
	bytes := float64(share) * float64(o.streams) * turns
	return report{"stalled_part": (parts[turns/2-1] + parts[turns/2]) / 2,
		"mb_s": bytes / 1e6 / seconds[1], "alone_mb_s": bytes / 1e6 / seconds[0], "errors": errs}, nil
}

// fill opens a stream that nobody reads from and waits until nothing more goes in.
func (c *connection) fill(kind byte) error {
	if kind == download {
		stream, err := c.begin(order(download, math.MaxUint64))
		if err != nil {
			return err
		}
		defer time.Sleep(filling)
		return signal(stream)
	}
	stream, err := c.begin(order(stall, 0))
	if err != nil {
		return err
	}
	var moved atomic.Uint64
	go transfer(stream, stall, math.MaxUint64, func(n uint64) { moved.Add(n) })
	for before := uint64(math.MaxUint64); before != moved.Load(); time.Sleep(filling) {
		before = moved.Load()
	}
	return nil
}

// beside is ping-pong alone, then beside a stream that is never out of bytes.
func beside(c *connection, o *options) (report, error) {
	pings := func() (operation, error) { return c.pingPong(), nil }
	alone, err := repeat(o, pings)
	if err != nil {
		return nil, err
	}
	stream, err := c.begin(order(o.bulkKind(), math.MaxUint64))
	if err != nil {
		return nil, err
	}
	var moved atomic.Uint64
	var ended atomic.Bool
	go func() {
		transfer(stream, o.bulkKind(), math.MaxUint64, func(n uint64) { moved.Add(n) })
		ended.Store(true)
	}()
	time.Sleep(filling)
	before, started := moved.Load(), time.Now()
	r, err := repeat(o, pings)
	if err != nil {
		return nil, err
	}
	r["bulk_mb_s"] = float64(moved.Load()-before) / 1e6 / time.Since(started).Seconds()
	if ended.Load() {
		return nil, errors.New("the bulk stream ended early")
	}
	for _, part := range []string{"p50", "p99"} {
		own, other := r[part+"_us"].(float64), alone[part+"_us"].(float64)
		r[part+"_alone_us"], r[part+"_times"] = other, own/other
	}
	return r, nil
}
