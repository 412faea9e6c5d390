// Callers over grpc-go. See tests/app/callers/__init__.py.
package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/ioutil"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"
)

type orders struct {
	Targets       []string        `json:"targets"`
	Channels      int             `json:"channels"`
	Callers       int             `json:"callers"`
	Method        string          `json:"method"`
	Request       string          `json:"request"`
	TimeoutS      float64         `json:"timeout_s"`
	KeepaliveMs   int             `json:"keepalive_ms"`
	ReconnectMs   int             `json:"reconnect_ms"`
	ServiceConfig json.RawMessage `json:"service_config"`
}

// verbatim passes bytes as they are.
type verbatim struct{}

func (verbatim) Marshal(value interface{}) ([]byte, error) { return *value.(*[]byte), nil }
func (verbatim) Unmarshal(content []byte, value interface{}) error {
	*value.(*[]byte) = content
	return nil
}
func (verbatim) Name() string { return "proto" }

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func connect(given orders, number int) *grpc.ClientConn {
	scheme := fmt.Sprintf("list%d", number)
	list := manual.NewBuilderWithScheme(scheme)
	state := resolver.State{}
	for _, target := range given.Targets {
		state.Addresses = append(state.Addresses, resolver.Address{Addr: target})
	}
	list.InitialState(state)
	pause := time.Duration(given.ReconnectMs) * time.Millisecond
	connection, err := grpc.Dial(
		scheme+":///service",
		grpc.WithInsecure(),
		grpc.WithResolvers(list),
		grpc.WithDefaultServiceConfig(string(given.ServiceConfig)),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(verbatim{})),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: time.Duration(given.KeepaliveMs) * time.Millisecond,
		}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: pause, Multiplier: 1, MaxDelay: pause},
			MinConnectTimeout: time.Second,
		}),
	)
	must(err)
	return connection
}

func main() {
	var given orders
	must(json.Unmarshal([]byte(os.Args[1]), &given))
	request, err := hex.DecodeString(given.Request)
	must(err)
	outcomes := map[string]int{}
	var lock sync.Mutex
	var callers sync.WaitGroup
	over := make(chan struct{})
	timeout := time.Duration(given.TimeoutS * float64(time.Second))
	callWithoutEnd := func(connection *grpc.ClientConn) {
		defer callers.Done()
		for {
			select {
			case <-over:
				return
			default:
			}
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			var answer []byte
			err := connection.Invoke(ctx, given.Method, &request, &answer)
			cancel()
			outcome := "answered"
			if err != nil {
				outcome = status.Code(err).String() + ": " + status.Convert(err).Message()
			}
			lock.Lock()
			outcomes[outcome]++
			lock.Unlock()
		}
	}
	for number := 0; number < given.Channels; number++ {
		connection := connect(given, number)
		for caller := 0; caller < given.Callers; caller++ {
			callers.Add(1)
			go callWithoutEnd(connection)
		}
	}
	_, _ = io.Copy(ioutil.Discard, os.Stdin)
	close(over)
	callers.Wait()
	must(json.NewEncoder(os.Stdout).Encode(outcomes))
}
