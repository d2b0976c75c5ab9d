package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// usage is what the kernel has counted of a process.
type usage struct{ cpuS, pageFaults float64 }

// meter counts what this process and the server spend from its start on.
type meter struct {
	started time.Time
	server  int
	before  *[2]usage
}

func startMeter(server int) meter {
	return meter{time.Now(), server, bothUsages(server)}
}

// spent is the CPU time of both and each side's page faults, or nil without the server's process id.
func (m meter) spent() (cpuS any, clientFaults, serverFaults float64, known bool) {
	now := bothUsages(m.server)
	if now == nil || m.before == nil {
		return nil, 0, 0, false
	}
	client, server := now[0], now[1]
	return client.cpuS + server.cpuS - m.before[0].cpuS - m.before[1].cpuS,
		client.pageFaults - m.before[0].pageFaults, server.pageFaults - m.before[1].pageFaults, true
}

func bothUsages(server int) *[2]usage {
	client, clientErr := usageOf(os.Getpid())
	other, serverErr := usageOf(server)
	if server == 0 || clientErr != nil || serverErr != nil {
		return nil
	}
	return &[2]usage{client, other}
}

func usageOf(process int) (usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", process))
	if err != nil {
		return usage{}, err
	}
	// The second field is the program's name in parentheses and may hold anything, so count behind it.
	_, behind, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')'):]), " ")
	fields := strings.Fields(behind)
	number := func(field int) float64 {
		value, _ := strconv.ParseFloat(fields[field], 64)
		return value
	}
	const minorFaults, majorFaults, user, system, ticksPerS = 7, 9, 11, 12, 100
	return usage{(number(user) + number(system)) / ticksPerS, number(minorFaults) + number(majorFaults)}, nil
}

// residentKiB is the server's memory, exactly.
func residentKiB(process int) (float64, error) {
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", process))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(rollup)) {
		if rest, found := strings.CutPrefix(line, "Rss:"); found {
			return strconv.ParseFloat(strings.Fields(rest)[0], 64)
		}
	}
	return 0, fmt.Errorf("no Rss of process %d", process)
}
