package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

type report map[string]any

const (
	lostMax      = 1000 // attempts that a stack may lose before a run gives up
	dialers      = 8    // goroutines that dial for idle
	stuckTimeout = 5 * time.Second
)

// run sets up, then measures one workload.
func run(o *options) (report, error) {
	node, err := newNode(o, "")
	if err != nil {
		return nil, err
	}
	c, err := node.dial(o.address)
	if err != nil {
		return nil, fmt.Errorf("first connection: %w", err)
	}
	if err := insist(c.request); err != nil {
		return nil, fmt.Errorf("first request: %w", err)
	}
	switch o.workload {
	case "up":
		return bulk(c, upload, o)
	case "down":
		return bulk(c, download, o)
	case "rr":
		return repeat(o, func() (operation, error) { return c.request, nil })
	case "pingpong":
		return repeat(o, func() (operation, error) { return c.pingPong(), nil })
	case "conn":
		return repeat(o, func() (operation, error) { return dials(o) })
	case "meet":
		return meet(o)
	case "idle":
		return idle(o)
	case "stalled":
		return stalled(o)
	case "beside":
		return beside(c, o)
	}
	return nil, errors.New("this stack has no workload " + o.workload)
}

func bulk(c *connection, kind byte, o *options) (report, error) {
	share := uint64(o.bytes / o.streams)
	streams, lost, err := c.beginAll(order(kind, share), o.streams)
	if err != nil {
		return nil, err
	}
	var moved atomic.Uint64
	ramp := make(chan any, 1)
	if o.ramp {
		go func() { ramp <- rampMs(watch(&moved, share*uint64(o.streams))) }()
	}
	m := startMeter(o.serverPid)
	times, err := transferAll(streams, kind, share, &moved)
	if err != nil {
		return nil, err
	}
	seconds := time.Since(m.started).Seconds()
	bytes := float64(share) * float64(o.streams)
	mib := bytes / (1 << 20)
	r := report{"mb_s": bytes / 1e6 / seconds, "mib": mib, "errors": lost, "seconds": seconds}
	if cpuS, client, server, known := m.spent(); known {
		r["cpu_s_per_gib"] = cpuS.(float64) * (1 << 30) / bytes
		r["client_faults_per_mib"], r["server_faults_per_mib"] = client/mib, server/mib
	}
	if o.streams > 1 {
		r["slowest_part"] = slices.Min(times).Seconds() / slices.Max(times).Seconds()
	}
	if o.ramp {
		r["ramp_ms"] = <-ramp
	}
	return r, nil
}

// beginAll counts and replaces streams that are lost on the way.
func (c *connection) beginAll(first message, count int64) (streams []network.Stream, lost int, err error) {
	for int64(len(streams)) < count {
		stream, err := c.begin(first)
		switch {
		case err == nil:
			streams = append(streams, stream)
		case lost == lostMax:
			return nil, lost, err
		default:
			lost++
		}
	}
	return streams, lost, nil
}

// begin waits for the server's signal, which proves that the stream arrived.
func (c *connection) begin(first message) (network.Stream, error) {
	stream, err := c.open(first)
	if err != nil {
		return nil, err
	}
	return stream, awaitSignal(stream)
}

// transferAll says how long each stream took.
func transferAll(streams []network.Stream, kind byte, share uint64, moved *atomic.Uint64) ([]time.Duration, error) {
	times, failures := make([]time.Duration, len(streams)), make([]error, len(streams))
	started := time.Now()
	var all sync.WaitGroup
	for i, stream := range streams {
		all.Go(func() {
			failures[i] = transfer(stream, kind, share, func(n uint64) { moved.Add(n) })
			times[i] = time.Since(started)
		})
	}
	all.Wait()
	return times, errors.Join(failures...)
}

func transfer(stream network.Stream, kind byte, share uint64, moved func(uint64)) error {
	var err error
	switch kind {
	case upload:
		if err = produce(stream, share, moved); err == nil {
			err = awaitSignal(stream)
		}
	case download:
		if err = signal(stream); err == nil {
			err = discard(stream, share, moved)
		}
	case stall:
		err = produce(stream, share, moved)
	}
	return errors.Join(err, stream.CloseWrite())
}

// operation is one thing to do over and over, and to time.
type operation func() error

func (c *connection) request() error {
	first := order(request, 0)
	stream, err := c.open(first)
	if err != nil {
		return err
	}
	if err := finishRequest(stream, first); err != nil {
		stream.Reset()
		return err
	}
	return stream.Close()
}

func finishRequest(stream network.Stream, first message) error {
	var reply message
	if _, err := io.ReadFull(stream, reply[:]); err != nil {
		return err
	}
	if err := stream.CloseWrite(); err != nil {
		return err
	}
	if n, err := stream.Read(make([]byte, 1)); reply != first || n != 0 || err != io.EOF {
		return errors.New("wrong reply")
	}
	return nil
}

// pingPong opens its stream the first time, and another one after an error.
func (c *connection) pingPong() operation {
	var stream network.Stream
	ping := order(echo, 0)
	return func() (err error) {
		if stream == nil {
			stream, err = c.open(ping)
		} else {
			_, err = stream.Write(ping[:])
		}
		if err == nil {
			var pong message
			_, err = io.ReadFull(stream, pong[:])
		}
		if err != nil {
			stream = nil
		}
		return err
	}
}

// dials has a node of its own for each loop: stacks share connections to a peer that they already have.
func dials(o *options) (operation, error) {
	node, err := newNode(o, "")
	return func() error {
		c, err := node.dial(o.address)
		if err != nil {
			return err
		}
		if o.request {
			err = insist(c.request)
		}
		return errors.Join(err, c.Close())
	}, err
}

// insist gives stacks that lose streams under load more attempts.
func insist(op operation) (err error) {
	for range lostMax {
		if err = op(); err == nil {
			return nil
		}
	}
	return err
}

// repeat runs every operation in a goroutine of its own, each time as soon as the last one is done.
func repeat(o *options, make func() (operation, error)) (report, error) {
	var operations []operation
	for range o.concurrency {
		op, err := make()
		if err == nil {
			err = insist(op)
		}
		if err != nil {
			return nil, err
		}
		operations = append(operations, op)
	}
	m := startMeter(o.serverPid)
	end := m.started.Add(time.Duration(o.secs * float64(time.Second)))
	stuck := time.AfterFunc(time.Until(end)+stuckTimeout, func() { fail("an operation never ended") })
	defer stuck.Stop()
	tallies := inParallel(operations, func(op operation) (t tally) {
		for now := time.Now(); now.Before(end); {
			now = t.count(op(), now)
		}
		return t
	})
	return m.report(tallies)
}

func inParallel[T any](of []T, work func(T) tally) []tally {
	tallies := make([]tally, len(of))
	var all sync.WaitGroup
	for i, one := range of {
		all.Go(func() { tallies[i] = work(one) })
	}
	all.Wait()
	return tallies
}

type tally struct {
	latencies []time.Duration
	finished  time.Time
	errors    int
	err       error
}

// count notes an operation that ends now, and gives the time.
func (t *tally) count(err error, started time.Time) time.Time {
	now := time.Now()
	if err != nil {
		t.errors, t.err = t.errors+1, err
	} else {
		t.latencies, t.finished = append(t.latencies, now.Sub(started)), now
	}
	return now
}

func (m meter) report(tallies []tally) (report, error) {
	cpuS, _, _, known := m.spent()
	var latencies []time.Duration
	var finished time.Time
	var lost int
	var failure error
	for _, t := range tallies {
		latencies, lost = append(latencies, t.latencies...), lost+t.errors
		if t.finished.After(finished) {
			finished = t.finished
		}
		failure = errors.Join(failure, t.err)
	}
	if len(latencies) == 0 {
		return nil, fmt.Errorf("nothing worked: %w", failure)
	}
	slices.Sort(latencies)
	ops, seconds := float64(len(latencies)), finished.Sub(m.started).Seconds()
	percentileUs := func(part float64) float64 { return latencies[int((ops-1)*part)].Seconds() * 1e6 }
	r := report{"ops_s": ops / seconds, "p50_us": percentileUs(0.5), "p99_us": percentileUs(0.99), "ops": ops, "errors": lost, "seconds": seconds}
	if known {
		r["cpu_us_per_op"] = cpuS.(float64) * 1e6 / ops
	}
	return r, nil
}

// meet is conn with nodes that are made before the clock starts and dial once each.
func meet(o *options) (report, error) {
	queues := make([][]*node, o.concurrency)
	for i := range o.connections {
		node, err := newNode(o, "")
		if err != nil {
			return nil, err
		}
		queues[i%o.concurrency] = append(queues[i%o.concurrency], node)
	}
	m := startMeter(o.serverPid)
	return m.report(inParallel(queues, func(queue []*node) (t tally) {
		for _, node := range queue {
			started := time.Now()
			c, err := node.dial(o.address)
			if err == nil {
				err = c.Close()
			}
			t.count(err, started)
		}
		return t
	}))
}

// idle holds connections from distinct identities and weighs the server.
func idle(o *options) (report, error) {
	before, err := residentKiB(o.serverPid)
	if err != nil {
		return nil, err
	}
	started := time.Now()
	held, failures := make([]*connection, o.connections), make([]error, dialers)
	var all sync.WaitGroup
	for dialer := range dialers {
		all.Go(func() {
			for i := dialer; i < len(held) && failures[dialer] == nil; i += dialers {
				node, err := newNode(o, "")
				if err == nil {
					held[i], err = node.dial(o.address)
				}
				failures[dialer] = err
			}
		})
	}
	all.Wait()
	if err := errors.Join(failures...); err != nil {
		return nil, err
	}
	setupS := time.Since(started).Seconds()
	time.Sleep(time.Duration(o.secs * float64(time.Second)))
	after, err := residentKiB(o.serverPid)
	if err != nil {
		return nil, err
	}
	dead := 0
	for _, c := range held {
		if insist(c.request) != nil {
			dead++
		}
	}
	return report{"kib_per_connection": (after - before) / float64(len(held)), "setup_s": setupS, "errors": dead}, nil
}
