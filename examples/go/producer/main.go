// Publishes jobs to antispoofd: producer ID KEY [ID KEY …]
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

type job struct {
	ID  string `json:"id"`
	Key string `json:"key"`
}

func main() {
	connection, err := amqp.Dial(cmp.Or(os.Getenv("AMQP_URL"), "amqp://guest:guest@127.0.0.1:5672/%2f"))
	check(err)
	defer connection.Close()
	channel, err := connection.Channel()
	check(err)
	check(channel.Confirm(false))
	// Room for one: there is one publish at a time, and its return comes before its confirm.
	returns := channel.NotifyReturn(make(chan amqp.Return, 1))

	for words := os.Args[1:]; len(words) > 1; words = words[2:] {
		check(publish(channel, returns, job{ID: words[0], Key: words[1]}))
		fmt.Printf("published %s\n", words[0])
	}
}

// Returns when the broker has the job on its disks. After an error it is safe to publish it again: the same id and image are one job.
func publish(channel *amqp.Channel, returns <-chan amqp.Return, job job) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	body, err := json.Marshal(job)
	if err != nil {
		return err
	}
	confirmation, err := channel.PublishWithDeferredConfirmWithContext(ctx, "antispoof.jobs", "antispoof.jobs", true, false, amqp.Publishing{
		ContentType:   "application/json",
		DeliveryMode:  amqp.Persistent,
		MessageId:     job.ID,
		CorrelationId: job.ID,
		Body:          body,
	})
	if err != nil {
		return err
	}
	switch taken, err := confirmation.WaitContext(ctx); {
	case err != nil:
		return fmt.Errorf("no confirm for the job %s: %w", job.ID, err)
	case !taken:
		return fmt.Errorf("the broker refused the job %s", job.ID)
	}
	select {
	case returned := <-returns:
		return fmt.Errorf("no queue takes the job %s (%s): is the topology declared?", returned.MessageId, returned.ReplyText)
	default:
		return nil
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
