// Interop peer on go-libp2p: serves the interop protocols, or dials a peer and checks it.
//
//	go-peer listen|dial ADDR [--transport tcp|ws|wss|quic-v1] [--security noise|tls] [--muxer yamux] [--key-type T] [--ip 4|6]
//	    listen: [--tls-cert FILE --tls-key FILE]   dial: [--tls-ca FILE] [--checks a,b] [--bulk-bytes N]
//
// main.go is the command line, node.go the host, serve.go the listener's protocols, checks.go what the dialer checks.
// Exit codes: 0 nothing failed, 1 a check failed, 2 wrong usage, 3 the stack has no such transport, muxer or security.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	// Bounds for what hangs, not for what is slow: a busy machine must not meet them.
	programTimeout = 180 * time.Second // for all but the checks with a deadline of their own
	checkTimeout   = 30 * time.Second
)

func main() {
	if len(os.Args) < 2 {
		exit(2, "usage: go-peer listen|dial ADDR [options]; go-peer listen --help lists them")
	}
	command, args := os.Args[1], os.Args[2:]
	address := ""
	if command == "dial" && len(args) > 0 {
		address, args = args[0], args[1:]
	}
	flags := flag.NewFlagSet(command, flag.ExitOnError)
	o := &options{}
	flags.StringVar(&o.transport, "transport", "tcp", "tcp, ws, wss or quic-v1")
	flags.StringVar(&o.security, "security", "noise", "noise or tls; not for quic-v1")
	flags.StringVar(&o.muxer, "muxer", "yamux", "yamux, the only one that go-libp2p has; not for quic-v1")
	flags.StringVar(&o.keyType, "key-type", "ed25519", "ed25519, rsa, secp256k1 or ecdsa")
	flags.StringVar(&o.ip, "ip", "4", "4 or 6: where to listen")
	flags.StringVar(&o.tlsCert, "tls-cert", "", "PEM file for listening on wss")
	flags.StringVar(&o.tlsKey, "tls-key", "", "PEM file for listening on wss")
	flags.StringVar(&o.tlsCA, "tls-ca", "", "PEM file of the authority that vouches for the wss listener")
	flags.Int64Var(&bulkBytes, "bulk-bytes", bulkBytes, "what the bulk check sends each way")
	only := flags.String("checks", "", "names of checks, separated by commas; all when empty")
	flags.Parse(args)

	missing := o.unsupported()
	switch command {
	case "listen":
		if missing != "" {
			exit(3, missing)
		}
		listen(o)
	case "dial":
		selected, err := selectChecks(*only)
		if err != nil {
			exit(2, err.Error())
		}
		os.Exit(dial(o, address, selected, missing))
	default:
		exit(2, "no such command: "+command)
	}
}

func listen(o *options) {
	host, err := newHost(o)
	if err != nil {
		exit(1, err.Error())
	}
	serve(host)
	loopback, err := o.listenAddress()
	if err != nil {
		exit(1, err.Error())
	}
	if err := host.Network().Listen(loopback); err != nil {
		exit(1, err.Error())
	}
	for _, address := range host.Network().ListenAddresses() {
		fmt.Printf("listening %s/p2p/%s\n", address, host.ID())
	}
	io.Copy(io.Discard, os.Stdin)
}

// dial runs the selected checks, prints a line for each, and returns the exit code.
func dial(o *options, address string, selected []check, missing string) int {
	if missing != "" {
		for _, c := range selected {
			report(c.name, "", skip(missing))
		}
		return 0
	}
	target, err := peer.AddrInfoFromString(address)
	if err != nil {
		exit(2, fmt.Sprintf("%q: %v", address, err))
	}
	d, err := newDialer(o, *target)
	if err != nil {
		exit(1, err.Error())
	}
	limit := programTimeout
	for _, c := range selected {
		limit += c.deadline() - checkTimeout
	}
	program, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	connected, connectErr := bounded(program, checkTimeout, d.connect)
	code := 0
	for _, c := range selected {
		detail, err := connected, connectErr
		if c.name != "connect" && connectErr != nil {
			err = fmt.Errorf("not connected: %w", connectErr)
		} else if c.name != "connect" {
			detail, err = bounded(program, c.deadline(), func(ctx context.Context) (string, error) { return c.run(d, ctx) })
		}
		if report(c.name, detail, err) {
			code = 1
		}
	}
	return code
}

// bounded gives up on a check after its deadline, even when the check is stuck in a call that ignores its context.
func bounded(program context.Context, limit time.Duration, run func(context.Context) (string, error)) (string, error) {
	ctx, cancel := context.WithTimeout(program, limit)
	defer cancel()
	type outcome struct {
		detail string
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		detail, err := run(ctx)
		done <- outcome{detail, err}
	}()
	select {
	case o := <-done:
		return o.detail, o.err
	case <-ctx.Done():
		return "", errors.New("deadline passed")
	}
}

// skip is the error of a check that this pair of stacks cannot do.
type skip string

func (s skip) Error() string { return string(s) }

// report prints a check's line and returns whether it failed.
func report(name, detail string, err error) bool {
	line := struct {
		Check  string `json:"check"`
		Ok     *bool  `json:"ok,omitempty"`
		Detail string `json:"detail,omitempty"`
		Skip   string `json:"skip,omitempty"`
	}{Check: name}
	var reason skip
	ok := err == nil
	switch {
	case errors.As(err, &reason):
		line.Skip = string(reason)
	case ok:
		line.Ok, line.Detail = &ok, detail
	default:
		line.Ok, line.Detail = &ok, strings.Join(strings.Fields(err.Error()), " ")
	}
	json.NewEncoder(os.Stdout).Encode(line)
	return line.Ok != nil && !ok
}

func exit(code int, message string) {
	fmt.Fprintln(os.Stderr, message)
	os.Exit(code)
}
