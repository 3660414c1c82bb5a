// Asks KEDA's own scaler of RabbitMQ what it requests, and what it makes of the answer, for the trigger of the ScaledObject among the JSON documents of
// standard input. main EXPECTED_URL. Nothing leaves this process: it is the proxy of its own requests.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/kedacore/keda/v2/pkg/scalers"
	"github.com/kedacore/keda/v2/pkg/scalers/scalersconfig"
)

// Of these, KEDA is to count all: what workers have in hand keeps its worker.
const ready, unacknowledged = 30, 12

type document struct {
	Kind string
	Spec struct {
		Triggers []struct {
			Type     string
			Metadata map[string]string
		}
	}
}

func main() {
	var requested, user string
	broker := httptest.NewServer(http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		requested = request.RequestURI
		user, _, _ = request.BasicAuth()
		fmt.Fprintf(writer, `{"messages": %d, "messages_ready": %d, "messages_unacknowledged": %d}`, ready+unacknowledged, ready, unacknowledged)
	}))
	defer broker.Close()
	check(os.Setenv("HTTP_PROXY", broker.URL))

	scaler, err := scalers.NewRabbitMQScaler(&scalersconfig.ScalerConfig{
		TriggerMetadata:   trigger(),
		AuthParams:        map[string]string{"username": "monitor", "password": "p"},
		GlobalHTTPTimeout: 10 * time.Second,
	})
	check(err)
	values, active, err := scaler.GetMetricsAndActivity(context.Background(), "jobs")
	check(err)
	if requested != os.Args[1] {
		fail("requests %s, and not %s", requested, os.Args[1])
	}
	if count := values[0].Value.Value(); count != ready+unacknowledged || !active || user != "monitor" {
		fail("counts %d (active: %t) as user %q", count, active, user)
	}
}

func trigger() map[string]string {
	var documents []document
	check(json.NewDecoder(os.Stdin).Decode(&documents))
	for _, document := range documents {
		if document.Kind == "ScaledObject" {
			return document.Spec.Triggers[0].Metadata
		}
	}
	fail("has no ScaledObject to read")
	return nil
}

func check(err error) {
	if err != nil {
		fail("%v", err)
	}
}

func fail(form string, values ...any) {
	fmt.Fprintf(os.Stderr, "KEDA "+form+"\n", values...)
	os.Exit(1)
}
