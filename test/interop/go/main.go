// A peer on go-libp2p that serves and calls /subnet/task_protocol/1.0.0, driven over stdin and stdout.
//
// Each line of stdin is a command: {"id": 1, "do": "call", ...}. Each line of stdout is an answer to one, {"reply": 1, ...}
// or {"reply": 1, "failed": "StreamReset", "why": "..."}, or an event, {"event": "request", ...}. It ends when stdin does.
// The first argument, JSON, says what it is: see the type config.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
)

// maxCommandBytes bounds a line of stdin: frames come in hex.
const maxCommandBytes = 64 << 20

// config is what a peer is told when it is started.
type config struct {
	// Key is ed25519 unless given, or secp256k1, rsa, ecdsa.
	Key string `json:"key"`
	// Tasks has it serve the task protocol.
	Tasks bool `json:"tasks"`
	// DHT is server or client; without it there is none.
	DHT    string `json:"dht"`
	Gossip bool   `json:"gossip"`
	// Listen is /ip4/127.0.0.1/tcp/0 unless given.
	Listen []string `json:"listen"`
	// Security is what go-libp2p has by default (Noise and TLS) unless given: noise or tls alone.
	Security string `json:"security"`
	// Streams is how many streams a peer may have open here for one protocol; go-libp2p's own limits unless given.
	Streams int `json:"streams"`
	// Relay has it relay for others, with the limits of go-libp2p.
	Relay bool `json:"relay"`
	// HolePunching has it speak DCUtR.
	HolePunching bool `json:"holePunching"`
}

// line is one line of stdout.
type line map[string]any

// command is one line of stdin: each takes the fields that it needs.
type command struct {
	ID       int    `json:"id"`
	Do       string `json:"do"`
	Address  string `json:"address"`
	Peer     string `json:"peer"`
	TaskID   string `json:"taskId"`
	How      string `json:"how"`
	Frame    string `json:"frame"`
	Size     int    `json:"size"`
	Count    int    `json:"count"`
	AtOnce   int    `json:"atOnce"`
	Topic    string `json:"topic"`
	Subnet   uint64 `json:"subnetId"`
	State    uint64 `json:"state"`
	Interval uint64 `json:"intervalMs"`
}

var stdout = struct {
	sync.Mutex
	*json.Encoder
}{Encoder: json.NewEncoder(os.Stdout)}

// tell writes one line.
func tell(what line) {
	stdout.Lock()
	defer stdout.Unlock()
	if err := stdout.Encode(what); err != nil {
		os.Exit(1)
	}
}

// kindOf names a failure in a word, as the Python peer does.
func kindOf(err error) string {
	switch {
	case errors.Is(err, network.ErrReset):
		return "StreamReset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "StreamEOF"
	case errors.Is(err, errMoreThanOne):
		return "MoreThanOneMessage"
	default:
		return "Error"
	}
}

// failure is the answer to a command that failed; of a reset, its text has the code.
func failure(err error) line {
	return line{"failed": kindOf(err), "why": err.Error()}
}

// versions of Go and of the libp2p modules in this program.
func versions() line {
	found := line{"go": strings.TrimPrefix(runtime.Version(), "go")}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if name, ok := strings.CutPrefix(module.Path, "github.com/libp2p/go-"); ok && strings.HasPrefix(name, "libp2p") {
				found["go-"+name] = module.Version
			}
		}
	}
	return found
}

func (n *node) obey(ctx context.Context, given command) {
	answer := line{}
	do, known := n.commands()[given.Do]
	if !known {
		answer = failure(fmt.Errorf("there is no command %q", given.Do))
	} else if found, err := do(ctx, given); err != nil {
		answer = failure(err)
	} else if found != nil {
		answer = found
	}
	answer["reply"] = given.ID
	tell(answer)
}

func run() error {
	var given config
	if len(os.Args) != 2 {
		return errors.New("one argument: what the peer is, in JSON")
	}
	if err := json.Unmarshal([]byte(os.Args[1]), &given); err != nil {
		return err
	}
	// a connection through a relay is as good as any
	ctx := network.WithAllowLimitedConn(context.Background(), "interop")
	n, err := newNode(ctx, given)
	if err != nil {
		return err
	}
	tell(line{"event": "ready", "peerId": n.host.ID().String(), "addresses": n.addresses(), "versions": versions()})
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, maxCommandBytes)
	for lines.Scan() {
		var given command
		if err := json.Unmarshal(lines.Bytes(), &given); err != nil {
			return err
		}
		go n.obey(ctx, given)
	}
	return lines.Err()
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
