package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
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

const protocolName = "/bench/1.0.0"

type node struct{ host *basichost.BasicHost }

// newNode puts a host together from go-libp2p's parts with their defaults: one transport, one security, yamux, identify.
// libp2p.New would do the same with options, but links WebRTC and WebTransport and all their modules. The one setting
// is in its favour: the null resource manager sets no limits and counts nothing.
func newNode(o *options, listen string) (*node, error) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
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
	if err := errors.Join(store.AddPubKey(id, key.GetPublic()), store.AddPrivKey(id, key)); err != nil {
		return nil, err
	}
	bus := eventbus.NewBus()
	net, err := swarm.NewSwarm(id, store, bus)
	if err != nil {
		return nil, err
	}
	transport, err := newTransport(o, key)
	if err != nil {
		return nil, err
	}
	if err := net.AddTransport(transport); err != nil {
		return nil, err
	}
	host, err := basichost.NewHost(net, &basichost.HostOpts{EventBus: bus})
	if err != nil {
		return nil, err
	}
	host.Start()
	if listen == "" {
		return &node{host}, nil
	}
	host.SetStreamHandler(protocolName, serve)
	address, err := o.multiaddr(listen)
	if err != nil {
		return nil, err
	}
	return &node{host}, host.Network().Listen(address)
}

func (o *options) multiaddr(at string) (multiaddr.Multiaddr, error) {
	ip, port, err := net.SplitHostPort(at)
	if err != nil {
		return nil, err
	}
	form := map[string]string{"tcp": "/ip4/%s/tcp/%s", "ws": "/ip4/%s/tcp/%s/ws", "quic-v1": "/ip4/%s/udp/%s/quic-v1"}[o.transport]
	if form == "" {
		return nil, errors.New("unknown transport: " + o.transport)
	}
	return multiaddr.NewMultiaddr(fmt.Sprintf(form, ip, port))
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
	switch o.security {
	case "noise":
		security, err = noise.New(noise.ID, key, muxers)
	case "tls":
		security, err = libp2ptls.New(libp2ptls.ID, key, muxers)
	default:
		err = errors.New("this stack secures every connection")
	}
	if err != nil {
		return nil, err
	}
	up, err := upgrader.New([]sec.SecureTransport{security}, muxers, nil, limits, nil)
	if err != nil {
		return nil, err
	}
	if o.transport == "ws" {
		return websocket.New(up, limits, nil)
	}
	return tcp.NewTCPTransport(up, limits, nil)
}

func (n *node) address() string {
	return fmt.Sprintf("%s/p2p/%s", n.host.Network().ListenAddresses()[0], n.host.ID())
}

// connection is one that the node dialed.
type connection struct {
	node *node
	network.Conn
}

func (n *node) dial(address string) (*connection, error) {
	info, err := peer.AddrInfoFromString(address)
	if err != nil {
		return nil, err
	}
	n.host.Peerstore().AddAddrs(info.ID, info.Addrs, peerstore.PermanentAddrTTL)
	conn, err := n.host.Network().DialPeer(context.Background(), info.ID)
	return &connection{n, conn}, err
}

// open asks for a stream and sends the first message on it.
func (c *connection) open(first message) (network.Stream, error) {
	stream, err := c.node.host.NewStream(context.Background(), c.RemotePeer(), protocolName)
	if err != nil {
		return nil, err
	}
	if _, err := stream.Write(first[:]); err != nil {
		stream.Reset()
		return nil, err
	}
	return stream, nil
}
