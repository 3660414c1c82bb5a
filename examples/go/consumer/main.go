// Takes the events of antispoofd: consumer [COUNT], for ever without COUNT.
package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

var (
	url     = cmp.Or(os.Getenv("AMQP_URL"), "amqp://guest:guest@127.0.0.1:5672/%2f")
	queue   = cmp.Or(os.Getenv("RESULTS_QUEUE"), "kyc.results")
	results = cmp.Or(os.Getenv("RESULTS_DIR"), "results")
)

// The part of an event that is read here. Fields that you do not know are to be ignored.
type event struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	Data *struct {
		JobID   string `json:"job_id"`
		Outcome string `json:"outcome"`
		Failure failure
	} `json:"data"`
}

type failure struct {
	Code, Stage, Class, Message string
}

func main() {
	count := 0
	if len(os.Args) > 1 {
		count = must(strconv.Atoi(os.Args[1]))
	}
	check(os.MkdirAll(results, 0o755))
	connection := must(amqp.Dial(url))
	defer connection.Close()
	channel := must(connection.Channel())
	declare(channel)
	check(channel.Qos(20, 0, false))

	taken := 0
	for delivery := range must(channel.Consume(queue, "", false, false, false, false, nil)) {
		var event event
		if err := json.Unmarshal(delivery.Body, &event); err != nil || event.ID == "" || event.Type == "" || event.Data == nil {
			// It will not become an event: to the queue beside, for somebody to look at.
			log.Printf("not an event: %v", err)
			check(delivery.Reject(false))
		} else {
			check(handle(event, delivery.Body))
			// Only now: if this process dies before, the event is delivered again.
			check(delivery.Ack(false))
		}
		if taken++; taken == count {
			return
		}
	}
	log.Fatal("the channel was closed")
}

// A queue of your own, bound to verdicts and failures. What cannot be read goes to a queue beside it.
func declare(channel *amqp.Channel) {
	must(channel.QueueDeclare(queue+".unread", true, false, false, false, amqp.Table{"x-queue-type": "quorum"}))
	must(channel.QueueDeclare(queue, true, false, false, false, amqp.Table{
		"x-queue-type":              "quorum",
		"x-dead-letter-exchange":    "",
		"x-dead-letter-routing-key": queue + ".unread",
		"x-dead-letter-strategy":    "at-least-once",
		"x-overflow":                "reject-publish",
	}))
	for _, key := range []string{"verdict.*", "failure.*"} {
		check(channel.QueueBind(queue, key, "antispoof.results", false, nil))
	}
}

// An event may come more than once, always under the same id. So what it does is done once for each id: here a file that bears it, in a database a row with the id
// as its key, written in one transaction with the effect.
func handle(event event, body []byte) error {
	first, err := store(event.ID, body)
	if err != nil {
		return err
	}
	again := ""
	if !first {
		again = " (again)"
	}
	switch failure := event.Data.Failure; event.Type {
	case "antispoofd.verdict.v1":
		fmt.Printf("%s %s%s\n", event.Data.JobID, event.Data.Outcome, again)
	case "antispoofd.failure.v1":
		fmt.Printf("%s %s%s\n", event.Data.JobID, failure.Code, again)
		if first {
			log.Print(failure.advice())
		}
	default:
		// Of a later version; what you do not know is not for you.
		fmt.Printf("%s %s%s\n", event.ID, event.Type, again)
	}
	return nil
}

// A failure is not a spoof. Whose fault it was is in its class, what to do about it in its code.
func (f failure) advice() string {
	if f.Class == "permanent" && slices.Contains([]string{"fetch", "inspect", "call"}, f.Stage) {
		return "ask for another picture: " + f.Message
	}
	return "for those who run antispoofd; the job is in antispoof.parked and can be replayed: " + f.Message
}

// Whether it was not there yet. Whole or not at all: a link to a finished file is made, which fails where the name is taken.
func store(id string, body []byte) (bool, error) {
	name := strings.ReplaceAll(id, "/", "_")
	draft := filepath.Join(results, fmt.Sprintf(".%s.%d", name, os.Getpid()))
	if err := os.WriteFile(draft, body, 0o644); err != nil {
		return false, err
	}
	defer os.Remove(draft)
	err := os.Link(draft, filepath.Join(results, name+".json"))
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, err
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
