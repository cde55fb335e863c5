package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
	"github.com/multiformats/go-multiaddr"
	"google.golang.org/protobuf/encoding/protowire"
)

// maxFrameBytes leaves room for a payload of 64 MiB.
const maxFrameBytes = 65 << 20

var errMoreThanOne = errors.New("something came after the one message")

// request is a TaskRequest, as proto/task_protocol.proto has it.
type request struct {
	taskID  string
	payload []byte
}

// response is a TaskResponse.
type response struct {
	accepted bool
	result   []byte
	text     string
}

func (r request) frame() []byte {
	var message []byte
	message = appendBytes(message, 1, []byte(r.taskID))
	message = appendBytes(message, 2, r.payload)
	return framed(message)
}

func (r response) frame() []byte {
	var message []byte
	message = appendNumber(message, 1, protowire.EncodeBool(r.accepted))
	message = appendBytes(message, 2, r.result)
	message = appendBytes(message, 3, []byte(r.text))
	return framed(message)
}

// framed puts the length before a message.
func framed(message []byte) []byte {
	return append(binary.AppendUvarint(make([]byte, 0, len(message)+binary.MaxVarintLen64), uint64(len(message))), message...)
}

// readFrame reads one message, exactly.
func readFrame(from *bufio.Reader) ([]byte, error) {
	size, err := binary.ReadUvarint(from)
	if err != nil {
		return nil, err
	}
	if size > maxFrameBytes {
		return nil, fmt.Errorf("a frame of %d bytes", size)
	}
	message := make([]byte, size)
	_, err = io.ReadFull(from, message)
	return message, err
}

func readRequest(from *bufio.Reader) (request, error) {
	message, err := readFrame(from)
	if err != nil {
		return request{}, err
	}
	fields, err := fieldsOf(message)
	return request{taskID: string(fields[1].bytes), payload: fields[2].bytes}, err
}

func readResponse(from *bufio.Reader) (response, error) {
	message, err := readFrame(from)
	if err != nil {
		return response{}, err
	}
	fields, err := fieldsOf(message)
	return response{accepted: protowire.DecodeBool(fields[1].number), result: fields[2].bytes, text: string(fields[3].bytes)}, err
}

// field is what stands in a field: a number or bytes.
type field struct {
	number uint64
	bytes  []byte
}

// fieldsOf reads a protobuf message of numbers and bytes; a field that it does not know is there too.
func fieldsOf(message []byte) (map[protowire.Number]field, error) {
	found := map[protowire.Number]field{}
	for len(message) > 0 {
		number, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return nil, protowire.ParseError(size)
		}
		message = message[size:]
		var value field
		switch kind {
		case protowire.VarintType:
			value.number, size = protowire.ConsumeVarint(message)
		case protowire.BytesType:
			value.bytes, size = protowire.ConsumeBytes(message)
		default:
			size = protowire.ConsumeFieldValue(number, kind, message)
		}
		if size < 0 {
			return nil, protowire.ParseError(size)
		}
		message = message[size:]
		found[number] = value
	}
	return found, nil
}

// appendBytes adds a field as proto3 does: not where it has its default.
func appendBytes(message []byte, number protowire.Number, value []byte) []byte {
	if len(value) == 0 {
		return message
	}
	return protowire.AppendBytes(protowire.AppendTag(message, number, protowire.BytesType), value)
}

func appendNumber(message []byte, number protowire.Number, value uint64) []byte {
	if value == 0 {
		return message
	}
	return protowire.AppendVarint(protowire.AppendTag(message, number, protowire.VarintType), value)
}

// digest says what some bytes are.
func digest(data []byte) line {
	sum := sha256.Sum256(data)
	return line{"bytes": len(data), "sha256": hex.EncodeToString(sum[:])}
}

func texts(addresses []multiaddr.Multiaddr) []string {
	all := []string{}
	for _, address := range addresses {
		all = append(all, address.String())
	}
	return all
}

// recordIn is the peer record in a signed envelope, or nil.
func recordIn(envelope *record.Envelope) line {
	found, err := envelope.Record()
	if err != nil {
		return nil
	}
	signed, ok := found.(*peer.PeerRecord)
	if !ok {
		return nil
	}
	return line{"peerId": signed.PeerID.String(), "addresses": texts(signed.Addrs)}
}
