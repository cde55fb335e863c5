package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// open opens a stream for a call. To a peer whose protocols are known go-libp2p sends nothing yet: the header of the
// protocol leaves with the first bytes that are written.
func (t *tasks) open(ctx context.Context, given command) (network.Stream, error) {
	id, err := peer.Decode(given.Peer)
	if err != nil {
		return nil, err
	}
	return t.host.NewStream(ctx, id, taskProtocol)
}

// call asks in one of these ways:
//
//	half-close  the request in one write, and the end of the write side at once
//	open        the write side stays open until the answer is there
//	bytes       each byte by itself, then the end
//	read-all    like half-close; the answer is read up to the end of the stream
//	two         the request twice in one write, and the end
//	frame       the bytes that are given, whatever they are, and the end
func (t *tasks) call(ctx context.Context, given command, payload []byte) (response, error) {
	frame := request{given.TaskID, payload}.frame()
	if given.How == "frame" {
		var err error
		if frame, err = hex.DecodeString(given.Frame); err != nil {
			return response{}, err
		}
	}
	stream, err := t.open(ctx, given)
	if err != nil {
		return response{}, err
	}
	answer, err := converse(stream, given.How, frame)
	if err != nil {
		_ = stream.Reset()
		return response{}, err
	}
	return answer, stream.Close()
}

func converse(stream network.Stream, how string, frame []byte) (response, error) {
	var err error
	switch how {
	case "bytes":
		err = writeBytes(stream, frame)
	case "two":
		_, err = stream.Write(append(frame, frame...))
	default:
		_, err = stream.Write(frame)
	}
	if err == nil && how != "open" {
		err = stream.CloseWrite()
	}
	if err != nil {
		return response{}, err
	}
	if how == "read-all" {
		return readAll(stream)
	}
	return readResponse(bufio.NewReader(stream))
}

func readAll(stream network.Stream) (response, error) {
	everything, err := io.ReadAll(stream)
	if err != nil {
		return response{}, err
	}
	reader := bufio.NewReader(bytes.NewReader(everything))
	answer, err := readResponse(reader)
	if err == nil && reader.Buffered() > 0 {
		err = errMoreThanOne
	}
	return answer, err
}

// doCall is one call with random bytes.
func (t *tasks) doCall(ctx context.Context, given command) (line, error) {
	payload := make([]byte, given.Size)
	_, _ = rand.Read(payload)
	answer, err := t.call(ctx, given, payload)
	if err != nil {
		return nil, err
	}
	return line{"sent": digest(payload), "accepted": answer.accepted, "error": answer.text, "result": digest(answer.result)}, nil
}

// doCalls makes many calls, some of them at once; each must be answered with its own payload.
func (t *tasks) doCalls(ctx context.Context, given command) (line, error) {
	tasks := make(chan int)
	var waiting sync.WaitGroup
	var mutex sync.Mutex
	answered, failed := 0, map[string]int{}
	began := time.Now()
	for range given.AtOnce {
		waiting.Go(func() {
			for index := range tasks {
				err := t.callNumbered(ctx, given, index)
				mutex.Lock()
				if err == nil {
					answered++
				} else {
					failed[err.Error()]++
				}
				mutex.Unlock()
			}
		})
	}
	for index := range given.Count {
		tasks <- index
	}
	close(tasks)
	waiting.Wait()
	return line{"answered": answered, "errors": failed, "ms": float64(time.Since(began)) / float64(time.Millisecond)}, nil
}

func (t *tasks) callNumbered(ctx context.Context, given command, index int) error {
	payload := make([]byte, given.Size)
	_, _ = rand.Read(payload)
	given.TaskID = fmt.Sprintf("%s %d", given.TaskID, index)
	answer, err := t.call(ctx, given, payload)
	switch {
	case err != nil:
		return err
	case !answer.accepted:
		return errors.New("rejected: " + answer.text)
	case !bytes.Equal(answer.result, payload):
		return errors.New("answered with other bytes")
	default:
		return nil
	}
}

// doAsk asks, and waits for no answer.
func (t *tasks) doAsk(ctx context.Context, given command) (line, error) {
	stream, err := t.open(ctx, given)
	if err != nil {
		return nil, err
	}
	t.mutex.Lock()
	t.held[given.TaskID] = stream
	t.mutex.Unlock()
	_, err = stream.Write(request{taskID: given.TaskID}.frame())
	return nil, err
}

func (t *tasks) asked(taskID string) (network.Stream, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	stream, ok := t.held[taskID]
	if !ok {
		return nil, fmt.Errorf("%q was not asked", taskID)
	}
	return stream, nil
}

// doMore sends a second request on the stream of one that was asked, and reads what comes.
func (t *tasks) doMore(_ context.Context, given command) (line, error) {
	stream, err := t.asked(given.TaskID)
	if err != nil {
		return nil, err
	}
	answer, err := converse(stream, "half-close", request{taskID: given.TaskID}.frame())
	return line{"accepted": answer.accepted, "error": answer.text}, err
}

func (t *tasks) doReset(_ context.Context, given command) (line, error) {
	stream, err := t.asked(given.TaskID)
	if err != nil {
		return nil, err
	}
	return nil, stream.Reset()
}
