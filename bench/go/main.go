// Go-libp2p under test, with the command line and the protocol of bench/harness:
//
//	bench-go serve [--listen 127.0.0.1:0]           prints READY and an address
//	bench-go run ADDRESS WORKLOAD [options]         prints one JSON line
//
// main.go is the command line, node.go the host, serve.go the server's side of the protocol, workload.go and
// fairness.go what the dialer measures, meter.go what the kernel counts, ramp.go
// how fast a transfer gets going.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"
)

const runTimeout = 120 * time.Second

// options are what the command line says; a workload ignores what it does not use.
type options struct {
	listen, transport, security string
	address, workload           string
	bytes, streams              int64
	concurrency, connections    int
	secs                        float64
	serverPid                   int
	request, down, ramp         bool
}

func main() {
	if len(os.Args) < 2 {
		fail("usage: bench-go serve | bench-go run ADDRESS WORKLOAD")
	}
	o, args := &options{}, os.Args[2:]
	if os.Args[1] == "run" && len(args) >= 2 {
		o.address, o.workload, args = args[0], args[1], args[2:]
	}
	flags := flag.NewFlagSet("bench-go", flag.ExitOnError)
	flags.StringVar(&o.listen, "listen", "127.0.0.1:0", "serve: socket address; port 0 picks a free one")
	flags.StringVar(&o.transport, "transport", "tcp", "tcp, ws or quic-v1")
	flags.StringVar(&o.security, "security", "noise", "noise or tls; not for quic-v1")
	flags.Int64Var(&o.bytes, "bytes", 1<<30, "up, down, stalled: bytes over all streams together")
	flags.Int64Var(&o.streams, "streams", 1, "up, down, stalled: streams at once")
	flags.IntVar(&o.concurrency, "concurrency", 1, "rr, pingpong, conn, meet, beside: loops at once")
	flags.IntVar(&o.connections, "connections", 1000, "idle: connections to hold; meet: nodes that dial")
	flags.Float64Var(&o.secs, "secs", 2, "rr, pingpong, conn, beside: how long to measure; idle: how long to wait")
	flags.IntVar(&o.serverPid, "server-pid", 0, "the server's process id: adds its CPU time and memory to the report")
	flags.BoolVar(&o.request, "request", false, "conn: also send one request over each connection")
	flags.BoolVar(&o.down, "down", false, "stalled, beside: the bulk comes from the server")
	flags.BoolVar(&o.ramp, "ramp", false, "up, down: also report how long the rate took to rise")
	flags.Parse(args)

	switch os.Args[1] {
	case "serve":
		node, err := newNode(o, o.listen)
		if err != nil {
			fail(err.Error())
		}
		fmt.Println("READY", node.address())
		select {}
	case "run":
		time.AfterFunc(runTimeout, func() { fail("the run took too long") })
		report, err := run(o)
		if err != nil {
			fail(err.Error())
		}
		report["stack"], report["workload"] = "go-libp2p", o.workload
		json.NewEncoder(os.Stdout).Encode(report)
	default:
		fail("no such command: " + os.Args[1])
	}
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, message)
	os.Exit(1)
}
