package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
)

const joinsWithin = 15 * time.Second

// topics are those that this peer has joined.
type topics struct {
	mutex  sync.Mutex
	joined map[string]*pubsub.Topic
}

func (n *node) topic(name string) (*pubsub.Topic, error) {
	n.topics.mutex.Lock()
	defer n.topics.mutex.Unlock()
	if found, ok := n.topics.joined[name]; ok {
		return found, nil
	}
	joined, err := n.pubsub.Join(name)
	if err != nil {
		return nil, err
	}
	if n.topics.joined == nil {
		n.topics.joined = map[string]*pubsub.Topic{}
	}
	n.topics.joined[name] = joined
	return joined, nil
}

// doSubscribe tells every message of a topic from now on.
func (n *node) doSubscribe(ctx context.Context, given command) (line, error) {
	topic, err := n.topic(given.Topic)
	if err != nil {
		return nil, err
	}
	subscription, err := topic.Subscribe()
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			message, err := subscription.Next(ctx)
			if err != nil {
				return
			}
			told := line{"event": "message", "from": message.GetFrom().String(), "heartbeat": nil}
			if beat, err := readHeartbeat(message.Data); err == nil {
				told["heartbeat"] = beat
			}
			tell(told)
		}
	}()
	return nil, nil
}

// doRelay passes the messages of a topic on, without a subscription of its own.
func (n *node) doRelay(_ context.Context, given command) (line, error) {
	topic, err := n.topic(given.Topic)
	if err != nil {
		return nil, err
	}
	_, err = topic.Relay()
	return nil, err
}

// doMesh waits until another peer has joined a topic too.
func (n *node) doMesh(ctx context.Context, given command) (line, error) {
	topic, err := n.topic(given.Topic)
	if err != nil {
		return nil, err
	}
	id, err := peer.Decode(given.Peer)
	if err != nil {
		return nil, err
	}
	events, err := topic.EventHandler()
	if err != nil {
		return nil, err
	}
	defer events.Cancel()
	ctx, cancel := context.WithTimeout(ctx, joinsWithin)
	defer cancel()
	for !slices.Contains(topic.ListPeers(), id) {
		if _, err := events.NextPeerEvent(ctx); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// doBeat publishes a heartbeat of this peer, as proto/subnet/gossip/v1/heartbeat.proto has it.
func (n *node) doBeat(ctx context.Context, given command) (line, error) {
	topic, err := n.topic(given.Topic)
	if err != nil {
		return nil, err
	}
	told := peer.PeerRecordFromAddrInfo(peer.AddrInfo{ID: n.host.ID(), Addrs: n.host.Addrs()})
	envelope, err := record.Seal(told, n.host.Peerstore().PrivKey(n.host.ID()))
	if err != nil {
		return nil, err
	}
	signed, err := envelope.Marshal()
	if err != nil {
		return nil, err
	}
	beat := appendBytes(nil, 1, signed)
	beat = appendNumber(beat, 2, given.Subnet)
	beat = appendNumber(beat, 3, given.State)
	beat = appendNumber(beat, 4, uint64(time.Now().UnixMilli()))
	beat = appendNumber(beat, 5, given.Interval)
	return nil, topic.Publish(ctx, beat)
}

func readHeartbeat(data []byte) (line, error) {
	fields, err := fieldsOf(data)
	if err != nil {
		return nil, err
	}
	envelope, _, err := record.ConsumeEnvelope(fields[1].bytes, peer.PeerRecordEnvelopeDomain)
	if err != nil {
		return nil, err
	}
	beat := recordIn(envelope)
	if beat == nil {
		return nil, fmt.Errorf("a record of another kind")
	}
	beat["subnetId"], beat["state"] = fields[2].number, fields[3].number
	return beat, nil
}
