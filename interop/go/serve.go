package main

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
)

const (
	echoID        = "/echo/1.0.0"
	hashID        = "/interop/hash/1.0.0"
	sourceID      = "/interop/source/1.0.0"
	lastSourceID  = "/interop/last-source/1.0.0"
	observeID     = "/interop/observe/1.0.0"
	lastObserveID = "/interop/last/1.0.0"
	resetID       = "/interop/reset/1.0.0"
	bulkID        = "/interop/bulk/1.0.0"
	nothingID     = "/interop/nothing/1.0.0" // served by nobody

	sourceLen = 64 << 10
	bulkPiece = 256 << 10
	// streamTimeout ends what the dialer has long given up on.
	streamTimeout = time.Hour
)

// serve answers all interop protocols; identify and ping are the host's own.
func serve(h host.Host) {
	observed, sourced := newBox(), newBox()
	handle(h, echoID, func(s network.Stream) error {
		_, err := io.Copy(s, s)
		return err
	})
	handle(h, hashID, func(s network.Stream) error {
		hash := sha256.New()
		if _, err := io.Copy(hash, s); err != nil {
			return err
		}
		_, err := s.Write(hash.Sum(nil))
		return err
	})
	handle(h, sourceID, func(s network.Stream) error {
		sourced.clear()
		if _, err := s.Write(sourceBytes()); err != nil {
			return err
		}
		if err := s.CloseWrite(); err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, s)
		if err != nil {
			sourced.put(fmt.Sprintf("%d, then %v", n, err))
			return err
		}
		sourced.put(fmt.Sprint(n))
		return nil
	})
	handle(h, observeID, func(s network.Stream) error {
		observed.clear()
		n, err := io.Copy(io.Discard, s)
		switch {
		case err == nil:
			observed.put(fmt.Sprintf("eof %d", n))
		case errors.Is(err, network.ErrReset):
			observed.put("reset")
		default:
			observed.put("error " + err.Error())
		}
		return err
	})
	handle(h, resetID, func(s network.Stream) error {
		if _, err := io.ReadFull(s, make([]byte, 1)); err != nil {
			return err
		}
		return errors.New("reset, as asked")
	})
	handle(h, bulkID, serveBulk)
	handle(h, lastObserveID, observed.answer)
	handle(h, lastSourceID, sourced.answer)
}

// handle closes the stream when f is done, and resets it when f failed.
func handle(h host.Host, id protocol.ID, f func(network.Stream) error) {
	h.SetStreamHandler(id, func(s network.Stream) {
		s.SetDeadline(time.Now().Add(streamTimeout))
		if f(s) != nil {
			s.Reset()
		} else {
			s.Close()
		}
	})
}

// serveBulk reads a count and that many bytes, answers with their hash, and sends as many bytes and their hash.
func serveBulk(s network.Stream) error {
	var head [8]byte
	if _, err := io.ReadFull(s, head[:]); err != nil {
		return err
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, s); err != nil {
		return err
	}
	if _, err := s.Write(hash.Sum(nil)); err != nil {
		return err
	}
	sum, err := sendBulk(s, int64(binary.BigEndian.Uint64(head[:])))
	if err != nil {
		return err
	}
	_, err = s.Write(sum)
	return err
}

// sendBulk writes n bytes of numbered pieces, so that a lost or swapped one shows, and returns their hash.
func sendBulk(w io.Writer, n int64) ([]byte, error) {
	hash, piece := sha256.New(), make([]byte, bulkPiece)
	for i := range piece {
		piece[i] = byte(i % 251)
	}
	for number := uint64(0); n > 0; number++ {
		binary.BigEndian.PutUint64(piece, number)
		part := piece[:min(n, bulkPiece)]
		hash.Write(part)
		if _, err := w.Write(part); err != nil {
			return nil, err
		}
		n -= int64(len(part))
	}
	return hash.Sum(nil), nil
}

// sourceBytes is what /interop/source sends.
func sourceBytes() []byte {
	data := make([]byte, sourceLen)
	for i := range data {
		data[i] = byte(i % 251)
	}
	return data
}

// box holds one stream's result until another stream asks for it. The question may overtake the result.
type box chan string

func newBox() box { return make(box, 1) }

func (b box) clear() {
	select {
	case <-b:
	default:
	}
}

func (b box) put(result string) {
	b.clear()
	select {
	case b <- result:
	default:
	}
}

func (b box) answer(s network.Stream) error {
	// On QUIC, closing tells the other side to stop writing; py-libp2p then reads no more, either.
	if _, err := io.Copy(io.Discard, s); err != nil {
		return err
	}
	result := "none"
	select {
	case result = <-b:
	case <-time.After(checkTimeout / 2):
	}
	_, err := io.WriteString(s, result)
	return err
}
