package main

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/libp2p/go-libp2p/core/network"
)

const chunkLen = 64 << 10

// message is the first of every stream, and what requests and ping-pong carry.
type message [64]byte

const (
	request  = 'r' // answer this one message with itself and finish
	echo     = 'e' // answer every message with itself until the dialer finishes
	upload   = 'u' // signal, take so many bytes, signal
	download = 'd' // signal, wait for a signal, send so many bytes
	stall    = 's' // signal and read nothing more
)

// order encodes a first message.
func order(kind byte, bytes uint64) (m message) {
	for i := range m {
		m[i] = kind
	}
	binary.BigEndian.PutUint64(m[1:], bytes)
	return m
}

// serve does what the dialer asks for, until both sides have finished.
func serve(stream network.Stream) {
	if err := obey(stream); err != nil {
		stream.Reset()
	}
}

func obey(stream network.Stream) error {
	var m message
	if _, err := io.ReadFull(stream, m[:]); err != nil {
		return err
	}
	bytes := binary.BigEndian.Uint64(m[1:])
	var err error
	switch m[0] {
	case request:
		_, err = stream.Write(m[:])
	case echo:
		for err == nil {
			if _, err = stream.Write(m[:]); err == nil {
				_, err = io.ReadFull(stream, m[:])
			}
		}
		if err == io.EOF {
			err = nil
		}
	case upload:
		err = errors.Join(signal(stream), discard(stream, bytes, ignore), signal(stream))
	case download:
		err = errors.Join(signal(stream), awaitSignal(stream), produce(stream, bytes, ignore))
	case stall:
		err = signal(stream)
		if err == nil {
			select {}
		}
	default:
		err = errors.New("no such order")
	}
	if err != nil {
		return err
	}
	if err := stream.CloseWrite(); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, stream)
	return err
}

func signal(stream network.Stream) error {
	_, err := stream.Write([]byte{1})
	return err
}

func awaitSignal(stream network.Stream) error {
	_, err := io.ReadFull(stream, make([]byte, 1))
	return err
}

func ignore(uint64) {}

// produce tells moved of all bytes that the stack took.
func produce(stream network.Stream, left uint64, moved func(uint64)) error {
	chunk := make([]byte, chunkLen)
	for left > 0 {
		n, err := stream.Write(chunk[:min(left, chunkLen)])
		if err != nil {
			return err
		}
		moved(uint64(n))
		left -= uint64(n)
	}
	return nil
}

// discard tells moved of all bytes that arrived.
func discard(stream network.Stream, left uint64, moved func(uint64)) error {
	buffer := make([]byte, chunkLen)
	for left > 0 {
		n, err := stream.Read(buffer[:min(left, chunkLen)])
		moved(uint64(n))
		left -= uint64(n)
		if err != nil && left > 0 {
			return err
		}
	}
	return nil
}
