package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
)

const taskProtocol = "/subnet/task_protocol/1.0.0"

// earlyBytes is what a server that answers early has read of a request.
const earlyBytes = 1 << 10

// tasks serves the task protocol, in the way that it was told last, and calls it.
type tasks struct {
	host host.Host
	// count is how many requests came since it was told how to serve.
	count atomic.Int64
	mutex sync.Mutex
	how   string
	frame []byte
	// held are the streams of calls that wait for no answer, by task id.
	held map[string]network.Stream
	// done is closed when it is told to serve otherwise.
	done chan struct{}
}

func newTasks(host host.Host) *tasks {
	return &tasks{host: host, how: "echo", held: map[string]network.Stream{}, done: make(chan struct{})}
}

func (t *tasks) doServe(_ context.Context, given command) (line, error) {
	frame, err := hex.DecodeString(given.Frame)
	if err != nil {
		return nil, err
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if _, known := t.ways()[given.How]; !known {
		return nil, fmt.Errorf("there is no way to serve that is called %q", given.How)
	}
	t.how, t.frame = given.How, frame
	t.count.Store(0)
	close(t.done)
	t.done = make(chan struct{})
	return nil, nil
}

func (t *tasks) doCount(context.Context, command) (line, error) {
	return line{"requests": t.count.Load()}, nil
}

// serving is one request that is answered.
type serving struct {
	network.Stream
	reader *bufio.Reader
	frame  []byte
	done   chan struct{}
	tasks  *tasks
}

func (t *tasks) serve(stream network.Stream) {
	t.mutex.Lock()
	how := t.how
	s := &serving{Stream: stream, reader: bufio.NewReader(stream), frame: t.frame, done: t.done, tasks: t}
	t.mutex.Unlock()
	if err := t.ways()[how](s); err != nil {
		tell(line{"event": "left", "why": kindOf(err), "text": err.Error()})
		_ = stream.Reset()
		return
	}
	_ = stream.Close()
}

func (t *tasks) ways() map[string]func(*serving) error {
	return map[string]func(*serving) error{
		"echo":   (*serving).echo,
		"all":    (*serving).all,
		"early":  (*serving).early,
		"reject": (*serving).reject,
		"fail":   func(s *serving) error { _, err := s.take(); return err },
		"reset":  (*serving).reset,
		"refuse": (*serving).refuse,
		"stall":  (*serving).stall,
		"deaf":   (*serving).deaf,
		"frame":  (*serving).someFrame,
		"bytes":  (*serving).byteByByte,
	}
}

// take reads the request and tells of it.
func (s *serving) take() (request, error) {
	asked, err := readRequest(s.reader)
	if err != nil {
		return asked, err
	}
	s.tasks.count.Add(1)
	told := digest(asked.payload)
	told["event"], told["taskId"] = "request", asked.taskID
	tell(told)
	return asked, nil
}

func (s *serving) answer(given response) error {
	_, err := s.Write(given.frame())
	return err
}

func (s *serving) echo() error {
	asked, err := s.take()
	if err != nil {
		return err
	}
	return s.answer(response{accepted: true, result: asked.payload})
}

// all reads to the end of the stream before it answers.
func (s *serving) all() error {
	everything, err := io.ReadAll(s.reader)
	if err != nil {
		return err
	}
	s.reader = bufio.NewReader(bytes.NewReader(everything))
	return s.echo()
}

// early answers when it has read the beginning of a request, and reads no more.
func (s *serving) early() error {
	if _, err := io.ReadFull(s.reader, make([]byte, earlyBytes)); err != nil {
		return err
	}
	return s.answer(response{accepted: true, result: []byte("early")})
}

func (s *serving) reject() error {
	if _, err := s.take(); err != nil {
		return err
	}
	return s.answer(response{text: "не сегодня"})
}

func (s *serving) reset() error {
	if _, err := s.take(); err != nil {
		return err
	}
	return s.Reset()
}

// refuse resets before it has read anything.
func (s *serving) refuse() error {
	s.tasks.count.Add(1)
	return s.Reset()
}

// stall reads the request and never answers. It tells when its caller left: where that has closed its side, only a write can tell.
func (s *serving) stall() error {
	if _, err := s.take(); err != nil {
		return err
	}
	if _, err := s.reader.ReadByte(); err != io.EOF {
		return err
	}
	tell(line{"event": "end"})
	<-s.done
	for {
		if _, err := s.Write([]byte{1}); err != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// deaf takes the stream and never reads.
func (s *serving) deaf() error {
	tell(line{"event": "stream"})
	<-s.done
	return nil
}

// someFrame answers with these bytes, whatever they are.
func (s *serving) someFrame() error {
	if _, err := s.take(); err != nil {
		return err
	}
	_, err := s.Write(s.frame)
	return err
}

// byteByByte writes each byte of its answer by itself.
func (s *serving) byteByByte() error {
	asked, err := s.take()
	if err != nil {
		return err
	}
	return writeBytes(s, response{accepted: true, result: asked.payload}.frame())
}

func writeBytes(to io.Writer, data []byte) error {
	for i := range data {
		if _, err := to.Write(data[i : i+1]); err != nil {
			return err
		}
	}
	return nil
}
