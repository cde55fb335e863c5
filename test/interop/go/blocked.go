package main

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
)

// blocked counts what the resource manager refused, by scope. A stream that it refuses is reset.
type blocked struct {
	mutex  sync.Mutex
	counts map[string]int
}

var _ rcmgr.MetricsReporter = (*blocked)(nil)

func newBlocked() *blocked {
	return &blocked{counts: map[string]int{}}
}

func (b *blocked) add(scope string) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.counts[scope]++
}

func (b *blocked) line() line {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	found := line{}
	for scope, count := range b.counts {
		found[scope] = count
	}
	return found
}

func (b *blocked) BlockConn(network.Direction, bool)      { b.add("connection") }
func (b *blocked) BlockStream(peer.ID, network.Direction) { b.add("stream") }
func (b *blocked) BlockPeer(peer.ID)                      { b.add("peer") }
func (b *blocked) BlockProtocol(protocol.ID)              { b.add("protocol") }
func (b *blocked) BlockProtocolPeer(protocol.ID, peer.ID) { b.add("protocolPeer") }
func (b *blocked) BlockService(string)                    { b.add("service") }
func (b *blocked) BlockServicePeer(string, peer.ID)       { b.add("servicePeer") }
func (b *blocked) BlockMemory(int)                        { b.add("memory") }
func (b *blocked) AllowConn(network.Direction, bool)      {}
func (b *blocked) AllowStream(peer.ID, network.Direction) {}
func (b *blocked) AllowPeer(peer.ID)                      {}
func (b *blocked) AllowProtocol(protocol.ID)              {}
func (b *blocked) AllowService(string)                    {}
func (b *blocked) AllowMemory(int)                        {}
