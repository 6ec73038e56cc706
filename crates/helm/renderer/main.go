// The renderer turns a chart and values into manifests with Helm's own library, for Tagboat, which owns it as a child
// process. It holds no credentials, opens no sockets and writes no files: it reads charts from paths it is given, and
// everything else goes over its standard input and output.
//
// # Protocol
//
// Both directions carry frames: four bytes of length, big endian, then that many bytes of JSON. A frame to the renderer
// has at most 16 MiB, one from it at most 64 MiB; a longer one ends the process. One request is worked on at a time.
//
//	to the renderer    {"id": 1, "render": {…}}            a chart to render (renderRequest), or
//	                   {"id": 1, "read": {…}}              a stored manifest to read as Helm does (readRequest)
//	from the renderer  {"id": 1, "lookup": {…}}            a template asks for an object of the cluster (lookupQuestion)
//	to the renderer    {"id": 1, "answer": {…}}            what it found (lookupAnswer)
//	from the renderer  {"id": 1, "rendered": {…}}          the outcome (rendered), or
//	                   {"id": 1, "objects": […]}           the manifest's objects, or
//	                   {"id": 1, "error": "…"}             Helm's own error text
//
// Before its first request it says {"id": 0, "ready": {"helm": "v4.3.1", "sandbox": true}}, by which time its sandbox is up.
// It ends when its input closes, even in the middle of a template that does not.
package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
)

// memoryLimit makes the garbage collector work harder well before the owner's limit (512 MiB) ends the process.
const memoryLimit = 384 << 20

// stackLimit ends a template that calls itself without end, by a fatal error and so a new process.
const stackLimit = 256 << 20

func main() {
	// Helm's library logs parts of what it renders, which may be secret.
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	debug.SetMemoryLimit(memoryLimit)
	debug.SetMaxStack(stackLimit)
	if err := enterSandbox(); err != nil {
		fmt.Fprintf(os.Stderr, "the sandbox cannot be set up: %v\n", err)
		os.Exit(1)
	}
	pipe := newPipe(os.Stdin, os.Stdout)
	if err := pipe.send(message{Ready: &readiness{Helm: helmVersion(), Sandbox: true}}); err != nil {
		os.Exit(1)
	}
	for request := range pipe.requests {
		answer := serve(pipe, request)
		if err := pipe.send(answer); err != nil {
			fmt.Fprintf(os.Stderr, "the answer cannot be sent: %v\n", err)
			os.Exit(1)
		}
	}
}

// serve answers one request. A panic in Helm's library costs that request alone.
func serve(pipe *pipe, request message) (answer message) {
	defer func() {
		if cause := recover(); cause != nil {
			answer = message{ID: request.ID, Error: fmt.Sprintf("Helm's library panicked: %v", cause)}
		}
	}()
	if request.Read != nil {
		objects, err := readObjects(request.Read.Source, request.Read.Manifest)
		if err != nil {
			return message{ID: request.ID, Error: err.Error()}
		}
		return message{ID: request.ID, Objects: &objects}
	}
	outcome, err := render(request.Render, func(question lookupQuestion) (map[string]any, error) {
		return pipe.lookup(request.ID, question)
	})
	if err != nil {
		return message{ID: request.ID, Error: err.Error()}
	}
	return message{ID: request.ID, Rendered: outcome}
}
