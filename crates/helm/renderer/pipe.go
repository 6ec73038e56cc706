package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	unstructuredjson "k8s.io/apimachinery/pkg/util/json"
)

const (
	maxIncoming = 16 << 20
	maxOutgoing = 64 << 20
)

// message is one frame, in either direction; exactly one field beside the id is set.
type message struct {
	ID       uint64          `json:"id"`
	Render   *renderRequest  `json:"render,omitempty"`
	Read     *readRequest    `json:"read,omitempty"`
	Answer   *lookupAnswer   `json:"answer,omitempty"`
	Ready    *readiness      `json:"ready,omitempty"`
	Lookup   *lookupQuestion `json:"lookup,omitempty"`
	Rendered *rendered       `json:"rendered,omitempty"`
	Objects  *[]object       `json:"objects,omitempty"`
	Error    string          `json:"error,omitempty"`
}

type readiness struct {
	Helm    string `json:"helm"`
	Sandbox bool   `json:"sandbox"`
}

// lookupQuestion is what a template asked for. An empty name means the list; an empty namespace all of them.
type lookupQuestion struct {
	APIVersion string `json:"api_version"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace"`
	Name       string `json:"name"`
}

// lookupAnswer has the object (an empty one where there is none), or why it could not be read.
type lookupAnswer struct {
	Object json.RawMessage `json:"object,omitempty"`
	Error  string          `json:"error,omitempty"`
}

type pipe struct {
	out      io.Writer
	requests chan message
	answers  chan message
}

// newPipe starts to read. The reader ends the process when the input closes, whatever else is going on.
func newPipe(in io.Reader, out io.Writer) *pipe {
	p := &pipe{out: out, requests: make(chan message), answers: make(chan message)}
	go func() {
		for {
			frame, err := receive(in)
			if errors.Is(err, io.EOF) {
				os.Exit(0)
			}
			if err != nil {
				fmt.Fprintf(os.Stderr, "the input cannot be read: %v\n", err)
				os.Exit(1)
			}
			switch {
			case frame.Render != nil || frame.Read != nil:
				p.requests <- frame
			case frame.Answer != nil:
				p.answers <- frame
			default:
				fmt.Fprintf(os.Stderr, "frame %d is neither a request nor an answer\n", frame.ID)
				os.Exit(1)
			}
		}
	}()
	return p
}

func receive(in io.Reader) (message, error) {
	var header [4]byte
	if _, err := io.ReadFull(in, header[:]); err != nil {
		return message{}, err
	}
	length := binary.BigEndian.Uint32(header[:])
	if length > maxIncoming {
		return message{}, fmt.Errorf("a frame of %d bytes came, at most %d are allowed", length, maxIncoming)
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(in, body); err != nil {
		return message{}, err
	}
	var frame message
	if err := json.Unmarshal(body, &frame); err != nil {
		return message{}, err
	}
	return frame, nil
}

// send writes one frame. What is too long becomes an error answer, so that the owner learns why.
func (p *pipe) send(m message) error {
	body, err := json.Marshal(m)
	if err == nil && len(body) > maxOutgoing {
		err = fmt.Errorf("the rendered release has %d bytes, at most %d are allowed", len(body), maxOutgoing)
	}
	if err != nil {
		if body, err = json.Marshal(message{ID: m.ID, Error: err.Error()}); err != nil {
			return err
		}
	}
	frame := make([]byte, 4, 4+len(body))
	binary.BigEndian.PutUint32(frame, uint32(len(body)))
	_, err = p.out.Write(append(frame, body...))
	return err
}

// lookup asks the owner for an object, in the midst of a template.
func (p *pipe) lookup(id uint64, question lookupQuestion) (map[string]any, error) {
	if err := p.send(message{ID: id, Lookup: &question}); err != nil {
		return nil, err
	}
	frame := <-p.answers
	if frame.ID != id {
		return nil, fmt.Errorf("the answer is for request %d, not %d", frame.ID, id)
	}
	if frame.Answer.Error != "" {
		return map[string]any{}, errors.New(frame.Answer.Error)
	}
	object := map[string]any{}
	// Whole numbers become int64 here, as in what client-go hands to templates.
	if err := unstructuredjson.Unmarshal(frame.Answer.Object, &object); err != nil {
		return nil, err
	}
	if object == nil {
		object = map[string]any{}
	}
	return object, nil
}
