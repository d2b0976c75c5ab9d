package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	basichost "github.com/libp2p/go-libp2p/p2p/host/basic"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/multiformats/go-multistream"
)

type check struct {
	name string
	run  func(*dialer, context.Context) (string, error)
}

var checks = []check{
	{"connect", (*dialer).connect},
	{"identify", (*dialer).identify},
	{"ping", (*dialer).ping},
	{"echo", (*dialer).echo},
	{"sequential", (*dialer).sequential},
	{"concurrent", (*dialer).concurrent},
	{"half-close", (*dialer).halfClose},
	{"unsupported", (*dialer).unsupported},
	{"reset", (*dialer).reset},
	{"wrong-peer", (*dialer).wrongPeer},
	{"connections", (*dialer).connections},
	{"bulk", (*dialer).bulk},
}

// deadline is how long the check may take.
func (c check) deadline() time.Duration {
	switch c.name {
	case "connections":
		return 3 * checkTimeout
	case "bulk":
		return checkTimeout + time.Duration(bulkBytes>>20)*time.Second
	}
	return checkTimeout
}

// bulkBytes is what the bulk check sends each way.
var bulkBytes int64 = 64 << 20

// selectChecks returns the named checks in their fixed order, or all of them.
func selectChecks(names string) ([]check, error) {
	if names == "" {
		return checks, nil
	}
	wanted := strings.Split(names, ",")
	for _, name := range wanted {
		if !slices.ContainsFunc(checks, func(c check) bool { return c.name == name }) {
			return nil, fmt.Errorf("no such check: %s", name)
		}
	}
	return slices.DeleteFunc(slices.Clone(checks), func(c check) bool { return !slices.Contains(wanted, c.name) }), nil
}

type dialer struct {
	host       *basichost.BasicHost
	options    *options
	target     peer.AddrInfo
	identified event.Subscription // from before the dial, so that no event is missed
}

func newDialer(o *options, target peer.AddrInfo) (*dialer, error) {
	host, err := newHost(o)
	if err != nil {
		return nil, err
	}
	identified, err := host.EventBus().Subscribe([]any{new(event.EvtPeerIdentificationCompleted), new(event.EvtPeerIdentificationFailed)})
	return &dialer{host, o, target, identified}, err
}

func (d *dialer) connect(ctx context.Context) (string, error) {
	if err := d.host.Connect(ctx, d.target); err != nil {
		return "", err
	}
	state := d.host.Network().ConnsToPeer(d.target.ID)[0].ConnState()
	if d.options.transport == "quic-v1" {
		return state.Transport, nil
	}
	return fmt.Sprintf("%s %s %s early muxer: %t", state.Transport, state.Security, state.StreamMultiplexer, state.UsedEarlyMuxerNegotiation), nil
}

func (d *dialer) identify(ctx context.Context) (string, error) {
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case e := <-d.identified.Out():
		switch e := e.(type) {
		case event.EvtPeerIdentificationFailed:
			return "", e.Reason
		case event.EvtPeerIdentificationCompleted:
			if e.AgentVersion == "" {
				return "", errors.New("no agent version")
			}
			if !slices.Contains(e.Protocols, ping.ID) {
				return "", fmt.Errorf("%s is not among the protocols %v", ping.ID, e.Protocols)
			}
			return fmt.Sprintf("%s, %d protocols", e.AgentVersion, len(e.Protocols)), nil
		}
	}
	return "", errors.New("unknown event")
}

func (d *dialer) ping(ctx context.Context) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := ping.Ping(network.WithNoDial(ctx, "check"), d.host, d.target.ID)
	var trips []string
	for range 3 {
		result, ok := <-results
		if !ok {
			return "", errors.New("the ping stream ended")
		}
		if result.Error != nil {
			return "", result.Error
		}
		trips = append(trips, result.RTT.Round(time.Microsecond).String())
	}
	return strings.Join(trips, " "), nil
}

func (d *dialer) echo(ctx context.Context) (string, error) {
	return d.echoes(ctx, 1<<20)
}

func (d *dialer) sequential(ctx context.Context) (string, error) {
	for i := range 50 {
		if _, err := d.echoes(ctx, 100); err != nil {
			return "", fmt.Errorf("stream %d of 50: %w", i+1, err)
		}
	}
	return "50 streams", nil
}

func (d *dialer) concurrent(ctx context.Context) (string, error) {
	const count = 100
	results := make(chan error, count)
	for range count {
		go func() {
			_, err := d.echoes(ctx, 1<<10)
			results <- err
		}()
	}
	failed, first := 0, error(nil)
	for range count {
		if err := <-results; err != nil {
			failed++
			first = firstError(first, err)
		}
	}
	if failed > 0 {
		return "", fmt.Errorf("%d of %d streams failed, the first with: %w", failed, count, first)
	}
	return fmt.Sprintf("%d streams", count), nil
}

func (d *dialer) halfClose(ctx context.Context) (string, error) {
	data := random(100 << 10)
	hash, err := d.exchange(ctx, hashID, data)
	if err != nil {
		return "", fmt.Errorf("hash: %w", err)
	}
	if want := sha256.Sum256(data); !bytes.Equal(hash, want[:]) {
		return "", fmt.Errorf("hash: %d wrong bytes", len(hash))
	}

	s, err := d.open(ctx, sourceID)
	if err != nil {
		return "", fmt.Errorf("source: %w", err)
	}
	defer s.Reset() // nothing to reset once it is closed
	if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, sourceBytes()) {
		return "", fmt.Errorf("source: %d bytes, %w", len(got), firstError(err, errors.New("not those expected")))
	}
	if _, err := s.Write(random(1 << 10)); err != nil {
		return "", fmt.Errorf("source: write after the remote's end: %w", err)
	}
	if err := s.Close(); err != nil {
		return "", fmt.Errorf("source: close: %w", err)
	}
	count, err := d.exchange(ctx, lastSourceID, nil)
	if err != nil || strings.TrimSpace(string(count)) != "1024" {
		return "", fmt.Errorf("the listener counted %q, not 1024: %w", count, firstError(err, errors.New("wrong count")))
	}
	return "both directions", nil
}

func (d *dialer) unsupported(ctx context.Context) (string, error) {
	s, err := d.open(ctx, nothingID)
	if err == nil {
		s.Reset()
		return "", errors.New("the stream was opened")
	}
	var refused multistream.ErrNotSupported[protocol.ID]
	if !errors.As(err, &refused) {
		return "", fmt.Errorf("another error: %w", err)
	}
	if _, echoErr := d.echoes(ctx, 100); echoErr != nil {
		return "", fmt.Errorf("echo afterwards: %w", echoErr)
	}
	return err.Error(), nil
}

func (d *dialer) reset(ctx context.Context) (string, error) {
	// Without this go-libp2p does not wait for the protocol's confirmation, and the reset could overtake the negotiation.
	d.host.Peerstore().RemoveProtocols(d.target.ID, observeID)
	s, err := d.open(ctx, observeID)
	if err != nil {
		return "", fmt.Errorf("observe: %w", err)
	}
	if _, err := s.Write(random(1 << 10)); err != nil {
		return "", fmt.Errorf("observe: %w", err)
	}
	s.Reset()
	answer, err := d.exchange(ctx, lastObserveID, nil)
	if err != nil {
		return "", fmt.Errorf("last: %w", err)
	}
	saw := strings.TrimSpace(string(answer))
	if saw != "reset" && saw != "indistinct" {
		return "", fmt.Errorf("the listener saw %q, not a reset", saw)
	}

	s, err = d.open(ctx, resetID)
	if err != nil {
		return "", fmt.Errorf("reset: %w", err)
	}
	defer s.Reset()
	if _, err := s.Write([]byte{1}); err != nil {
		return "", fmt.Errorf("reset: %w", err)
	}
	_, err = io.ReadAll(s)
	switch {
	case err == nil:
		return "", errors.New("the listener's reset read as a clean end")
	case !errors.Is(err, network.ErrReset):
		return "", fmt.Errorf("reset: another error: %w", err)
	case saw == "indistinct":
		return "", skip("the other side's stack cannot tell a reset from an end")
	}
	return "both directions: " + err.Error(), nil
}

func (d *dialer) wrongPeer(ctx context.Context) (string, error) {
	_, key, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return "", err
	}
	other, err := peer.IDFromPublicKey(key)
	if err != nil {
		return "", err
	}
	err = d.host.Connect(ctx, peer.AddrInfo{ID: other, Addrs: d.target.Addrs})
	if err == nil {
		return "", errors.New("the connection was made")
	}
	// QUIC's error is a TLS alert with the same words.
	if !strings.Contains(err.Error(), "peer id mismatch") {
		return "", fmt.Errorf("the error names no mismatch: %w", err)
	}
	return "peer id mismatch", nil
}

// connections makes a hundred connections in turn, with one echo on each.
func (d *dialer) connections(ctx context.Context) (string, error) {
	host, err := newHost(d.options)
	if err != nil {
		return "", err
	}
	defer host.Close()
	other := &dialer{host: host, options: d.options, target: d.target}
	for i := range 100 {
		err := host.Connect(ctx, d.target)
		if err == nil {
			_, err = other.echoes(ctx, 100)
		}
		if err == nil {
			err = host.Network().ClosePeer(d.target.ID)
		}
		if err != nil {
			return "", fmt.Errorf("connection %d of 100: %w", i+1, err)
		}
	}
	return "100 connections", nil
}

// bulk sends a lot, and then receives as much, with a hash at each end.
func (d *dialer) bulk(ctx context.Context) (string, error) {
	s, err := d.open(ctx, bulkID)
	if err != nil {
		return "", err
	}
	defer s.Reset() // nothing to reset once it is closed
	start := time.Now()
	if err := binary.Write(s, binary.BigEndian, bulkBytes); err != nil {
		return "", fmt.Errorf("count: %w", err)
	}
	sum, err := sendBulk(s, bulkBytes)
	if err != nil {
		return "", fmt.Errorf("up: %w", err)
	}
	if err := s.CloseWrite(); err != nil {
		return "", fmt.Errorf("up: %w", err)
	}
	theirs := make([]byte, sha256.Size)
	if _, err := io.ReadFull(s, theirs); err != nil {
		return "", fmt.Errorf("the hash of what went up: %w", err)
	}
	if !bytes.Equal(sum, theirs) {
		return "", errors.New("the listener has another hash of what went up")
	}
	up, hash := time.Since(start), sha256.New()
	start = time.Now()
	if n, err := io.CopyN(hash, s, bulkBytes); err != nil {
		return "", fmt.Errorf("down after %d bytes: %w", n, err)
	}
	if theirs, err = io.ReadAll(s); err != nil || !bytes.Equal(hash.Sum(nil), theirs) {
		return "", fmt.Errorf("down: %w", firstError(err, errors.New("another hash than the listener's")))
	}
	down := time.Since(start)
	speed := func(took time.Duration) float64 { return float64(bulkBytes>>20) / took.Seconds() }
	return fmt.Sprintf("%d MiB each way, up %.0f MiB/s, down %.0f MiB/s", bulkBytes>>20, speed(up), speed(down)), s.Close()
}

// open makes a stream on the existing connection; it carries the check's deadline.
func (d *dialer) open(ctx context.Context, id protocol.ID) (network.Stream, error) {
	s, err := d.host.NewStream(network.WithNoDial(ctx, "check"), d.target.ID, id)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	return s, s.SetDeadline(deadline)
}

// exchange sends data in 64 KiB pieces, half-closes, and reads meanwhile to the end: at most len(data) or 64 bytes, and one more.
func (d *dialer) exchange(ctx context.Context, id protocol.ID, data []byte) ([]byte, error) {
	s, err := d.open(ctx, id)
	if err != nil {
		return nil, err
	}
	written := make(chan error, 1)
	go func() {
		for piece := range slices.Chunk(data, 64<<10) {
			if _, err := s.Write(piece); err != nil {
				written <- fmt.Errorf("write: %w", err)
				return
			}
		}
		written <- s.CloseWrite()
	}()
	got, err := io.ReadAll(io.LimitReader(s, int64(max(len(data), 64)+1)))
	if err != nil {
		s.Reset() // also ends the writer
		return got, errors.Join(fmt.Errorf("read after %d bytes: %w", len(got), err), <-written)
	}
	if err := <-written; err != nil {
		s.Reset()
		return got, err
	}
	return got, s.Close()
}

// echoes sends n random bytes to /echo and wants the same back.
func (d *dialer) echoes(ctx context.Context, n int) (string, error) {
	data := random(n)
	got, err := d.exchange(ctx, echoID, data)
	if err != nil {
		return "", err
	}
	if sha256.Sum256(got) != sha256.Sum256(data) {
		return "", fmt.Errorf("%d other bytes came back", len(got))
	}
	return fmt.Sprintf("%d bytes", n), nil
}

func random(n int) []byte {
	data := make([]byte, n)
	rand.Read(data)
	return data
}

// firstError returns the first error that is one.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
