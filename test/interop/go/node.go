package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
)

// dhtPrefix makes the DHT of subnet 1: /subnet/1/kad/1.0.0.
const dhtPrefix = "/subnet/1"

const rsaBits = 2048

type node struct {
	host    host.Host
	tasks   *tasks
	blocked *blocked
	dht     *dht.IpfsDHT
	pubsub  *pubsub.PubSub
	topics  topics
}

func newNode(ctx context.Context, given config) (*node, error) {
	n := &node{blocked: newBlocked()}
	options, err := n.options(given)
	if err != nil {
		return nil, err
	}
	if n.host, err = libp2p.New(options...); err != nil {
		return nil, err
	}
	n.tasks = newTasks(n.host)
	if given.Tasks {
		n.host.SetStreamHandler(taskProtocol, n.tasks.serve)
	}
	if given.DHT != "" {
		mode := map[string]dht.ModeOpt{"server": dht.ModeServer, "client": dht.ModeClient}[given.DHT]
		if n.dht, err = dht.New(n.host, dht.Mode(mode), dht.ProtocolPrefix(dhtPrefix)); err != nil {
			return nil, err
		}
	}
	if given.Gossip {
		if n.pubsub, err = pubsub.NewGossipSub(ctx, n.host); err != nil {
			return nil, err
		}
	}
	identified, err := n.host.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted))
	if err != nil {
		return nil, err
	}
	go tellIdentified(identified)
	return n, nil
}

func (n *node) options(given config) ([]libp2p.Option, error) {
	key, err := newKey(given.Key)
	if err != nil {
		return nil, err
	}
	listen := given.Listen
	if len(listen) == 0 {
		listen = []string{"/ip4/127.0.0.1/tcp/0"}
	}
	// go-libp2p's default limits, as libp2p.New would make them, but what they block is counted
	limits := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&limits)
	concrete := limits.AutoScale()
	if given.Streams > 0 {
		count := rcmgr.LimitVal(given.Streams)
		concrete = rcmgr.PartialLimitConfig{
			ProtocolPeerDefault: rcmgr.ResourceLimits{Streams: count, StreamsInbound: count},
		}.Build(concrete)
	}
	resources, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(concrete), rcmgr.WithMetrics(n.blocked))
	if err != nil {
		return nil, err
	}
	options := []libp2p.Option{libp2p.Identity(key), libp2p.ListenAddrStrings(listen...), libp2p.ResourceManager(resources)}
	switch given.Security {
	case "noise":
		options = append(options, libp2p.Security(noise.ID, noise.New))
	case "tls":
		options = append(options, libp2p.Security(libp2ptls.ID, libp2ptls.New))
	}
	if given.Relay {
		options = append(options, libp2p.EnableRelayService(), libp2p.ForceReachabilityPublic())
	}
	if given.HolePunching {
		options = append(options, libp2p.EnableHolePunching())
	}
	return options, nil
}

func newKey(name string) (crypto.PrivKey, error) {
	types := map[string]int{
		"": crypto.Ed25519, "ed25519": crypto.Ed25519, "secp256k1": crypto.Secp256k1, "rsa": crypto.RSA, "ecdsa": crypto.ECDSA,
	}
	kind, known := types[name]
	if !known {
		return nil, fmt.Errorf("there is no key type %q", name)
	}
	key, _, err := crypto.GenerateKeyPairWithReader(kind, rsaBits, rand.Reader)
	return key, err
}

// addresses are those on which the peer can be dialled, with its ID.
func (n *node) addresses() []string {
	all := []string{}
	for _, address := range n.host.Addrs() {
		all = append(all, fmt.Sprintf("%s/p2p/%s", address, n.host.ID()))
	}
	return all
}

// tellIdentified tells what each peer said of itself when a connection to it was new.
func tellIdentified(events event.Subscription) {
	for each := range events.Out() {
		found := each.(event.EvtPeerIdentificationCompleted)
		told := line{
			"event": "identified", "peer": found.Peer.String(), "agent": found.AgentVersion,
			"protocols": found.Protocols, "addresses": texts(found.ListenAddrs), "signed": nil,
		}
		if found.SignedPeerRecord != nil {
			told["signed"] = recordIn(found.SignedPeerRecord)
		}
		tell(told)
	}
}

type do func(context.Context, command) (line, error)

func (n *node) commands() map[string]do {
	return map[string]do{
		"dial":       n.dial,
		"leave":      to(n.leave),
		"connection": to(n.connection),
		"ping":       to(n.ping),
		"reserve":    n.reserve,
		"find":       to(n.find),
		"blocked":    func(context.Context, command) (line, error) { return n.blocked.line(), nil },
		"serve":      n.tasks.doServe,
		"count":      n.tasks.doCount,
		"call":       n.tasks.doCall,
		"calls":      n.tasks.doCalls,
		"ask":        n.tasks.doAsk,
		"more":       n.tasks.doMore,
		"reset":      n.tasks.doReset,
		"subscribe":  n.doSubscribe,
		"relay":      n.doRelay,
		"mesh":       n.doMesh,
		"beat":       n.doBeat,
	}
}

// to is a command about a peer.
func to(about func(context.Context, peer.ID) (line, error)) do {
	return func(ctx context.Context, given command) (line, error) {
		id, err := peer.Decode(given.Peer)
		if err != nil {
			return nil, err
		}
		return about(ctx, id)
	}
}

func (n *node) dial(ctx context.Context, given command) (line, error) {
	info, err := peer.AddrInfoFromString(given.Address)
	if err != nil {
		return nil, err
	}
	return nil, n.host.Connect(ctx, *info)
}

func (n *node) leave(_ context.Context, id peer.ID) (line, error) {
	return nil, n.host.Network().ClosePeer(id)
}

// connection is how the first connection with a peer is made, and how many there are.
func (n *node) connection(_ context.Context, id peer.ID) (line, error) {
	all := n.host.Network().ConnsToPeer(id)
	if len(all) == 0 {
		return nil, network.ErrNoConn
	}
	state := all[0].ConnState()
	return line{
		"connections": len(all), "direction": all[0].Stat().Direction.String(), "remote": all[0].RemoteMultiaddr().String(),
		"security": state.Security, "muxer": state.StreamMultiplexer, "early": state.UsedEarlyMuxerNegotiation,
		"transport": state.Transport,
	}, nil
}

func (n *node) ping(ctx context.Context, id peer.ID) (line, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	result := <-ping.Ping(ctx, n.host, id)
	return line{"ms": float64(result.RTT) / float64(time.Millisecond)}, result.Error
}

// find asks the DHT where a peer is.
func (n *node) find(ctx context.Context, id peer.ID) (line, error) {
	found, err := n.dht.FindPeer(ctx, id)
	return line{"addresses": texts(found.Addrs)}, err
}
