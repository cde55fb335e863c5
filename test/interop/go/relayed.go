package main

import (
	"context"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
)

// reserve asks a relay for a place, and tells what it gives.
func (n *node) reserve(ctx context.Context, given command) (line, error) {
	relay, err := peer.AddrInfoFromString(given.Address)
	if err != nil {
		return nil, err
	}
	place, err := client.Reserve(ctx, n.host, *relay)
	if err != nil {
		return nil, err
	}
	return line{
		"addresses": texts(place.Addrs), "seconds": place.LimitDuration.Seconds(), "bytes": place.LimitData,
		"expiresMs": place.Expiration.UnixMilli(), "voucher": place.Voucher != nil,
	}, nil
}
