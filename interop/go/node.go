package main

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/core/transport"
	basichost "github.com/libp2p/go-libp2p/p2p/host/basic"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/p2p/transport/websocket"
	"github.com/multiformats/go-multiaddr"
	"github.com/quic-go/quic-go"
)

// options are what the command line says of the node.
type options struct {
	transport, security, muxer, keyType, ip string
	tlsCert, tlsKey, tlsCA                  string
}

// unsupported returns why this stack cannot do what the options ask for, or "".
func (o *options) unsupported() string {
	known := map[string]bool{"tcp": true, "ws": true, "wss": true, "quic-v1": true}
	_, keyKnown := keyTypes[o.keyType]
	switch {
	case !known[o.transport]:
		return "unknown transport: " + o.transport
	case o.muxer == "mplex" && o.transport != "quic-v1":
		return "go-libp2p has no mplex since v0.30.0"
	case o.muxer != "yamux":
		return "unknown muxer: " + o.muxer
	case o.security != "noise" && o.security != "tls":
		return "unknown security: " + o.security
	case !keyKnown:
		return "unknown key type: " + o.keyType
	}
	return ""
}

// listenAddress is the loopback address with a free port.
func (o *options) listenAddress() (multiaddr.Multiaddr, error) {
	ip := map[string]string{"4": "/ip4/127.0.0.1", "6": "/ip6/::1"}[o.ip]
	rest := map[string]string{"tcp": "/tcp/0", "ws": "/tcp/0/ws", "wss": "/tcp/0/tls/ws", "quic-v1": "/udp/0/quic-v1"}
	return multiaddr.NewMultiaddr(ip + rest[o.transport])
}

var keyTypes = map[string]int{
	"ed25519": crypto.Ed25519, "rsa": crypto.RSA, "secp256k1": crypto.Secp256k1, "ecdsa": crypto.ECDSA,
}

// newHost puts a host together from go-libp2p's parts: one transport, one security and yamux, ping and identify, nothing else.
// libp2p.New would do the same with options, but links WebRTC and WebTransport and all their modules.
// The null resource manager sets no limits, so hundreds of streams at once are fine.
func newHost(o *options) (*basichost.BasicHost, error) {
	key, _, err := crypto.GenerateKeyPairWithReader(keyTypes[o.keyType], 2048, rand.Reader)
	if err != nil {
		return nil, err
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return nil, err
	}
	store, err := pstoremem.NewPeerstore()
	if err != nil {
		return nil, err
	}
	if err := store.AddPubKey(id, key.GetPublic()); err != nil {
		return nil, err
	}
	if err := store.AddPrivKey(id, key); err != nil {
		return nil, err
	}
	bus := eventbus.NewBus()
	net, err := swarm.NewSwarm(id, store, bus)
	if err != nil {
		return nil, err
	}
	transport, err := newTransport(o, key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.transport, err)
	}
	if err := net.AddTransport(transport); err != nil {
		return nil, fmt.Errorf("%s: %w", o.transport, err)
	}
	host, err := basichost.NewHost(net, &basichost.HostOpts{EventBus: bus, EnablePing: true, UserAgent: agent()})
	if err != nil {
		return nil, err
	}
	host.Start()
	return host, nil
}

func newTransport(o *options, key crypto.PrivKey) (transport.Transport, error) {
	limits := &network.NullResourceManager{}
	if o.transport == "quic-v1" {
		var reset quic.StatelessResetKey
		var token quic.TokenGeneratorKey
		rand.Read(reset[:])
		rand.Read(token[:])
		sockets, err := quicreuse.NewConnManager(reset, token)
		if err != nil {
			return nil, err
		}
		return libp2pquic.NewTransport(key, sockets, nil, nil, limits)
	}
	muxers := []upgrader.StreamMuxer{{ID: yamux.ID, Muxer: yamux.DefaultTransport}}
	var security sec.SecureTransport
	var err error
	if o.security == "tls" {
		security, err = libp2ptls.New(libp2ptls.ID, key, muxers)
	} else {
		security, err = noise.New(noise.ID, key, muxers)
	}
	if err != nil {
		return nil, err
	}
	up, err := upgrader.New([]sec.SecureTransport{security}, muxers, nil, limits, nil)
	if err != nil {
		return nil, err
	}
	if o.transport == "tcp" {
		return tcp.NewTCPTransport(up, limits, nil)
	}
	certificates, err := certificates(o)
	if err != nil {
		return nil, err
	}
	return websocket.New(up, limits, nil, certificates...)
}

// certificates are what wss needs of TLS: the listener's certificate, or the authority that the dialer trusts.
func certificates(o *options) (found []websocket.Option, err error) {
	if o.tlsCert != "" {
		pair, err := tls.LoadX509KeyPair(o.tlsCert, o.tlsKey)
		if err != nil {
			return nil, err
		}
		found = append(found, websocket.WithTLSConfig(&tls.Config{Certificates: []tls.Certificate{pair}}))
	}
	if o.tlsCA != "" {
		pem, err := os.ReadFile(o.tlsCA)
		if err != nil {
			return nil, err
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("no certificate in %s", o.tlsCA)
		}
		found = append(found, websocket.WithTLSClientConfig(&tls.Config{RootCAs: roots}))
	}
	return found, nil
}

// agent names the go-libp2p release that was linked, for identify.
func agent() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == "github.com/libp2p/go-libp2p" {
				return "go-libp2p/" + module.Version
			}
		}
	}
	return "go-libp2p"
}
