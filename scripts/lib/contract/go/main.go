// Two validators of the Go world, both of which read patterns with RE2: the examples and the cases. main ROOT
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	google "github.com/google/jsonschema-go/jsonschema"
	santhosh "github.com/santhosh-tekuri/jsonschema/v6"
)

var kinds = []string{"job", "job-event", "notification", "verdict", "failure"}

// The validator of Google leaves formats alone.
type validator struct {
	name    string
	formats bool
	check   func(instance []byte) error
}

func main() {
	root := os.Args[1]
	validators := map[string][]validator{}
	for _, kind := range kinds {
		path := filepath.Join(root, "contract", kind+".schema.json")
		validators[kind] = []validator{{"santhosh-tekuri", true, santhoshTekuri(path)}, {"google", false, googles(path)}}
	}
	wrong, asked := 0, questions(root)
	for _, question := range asked {
		for _, validator := range validators[question.Schema] {
			err := validator.check(question.Instance)
			if (err == nil) != question.Valid && (validator.formats || !question.format()) {
				wrong++
				fmt.Fprintf(os.Stderr, "%s: %s, %s: %v: %.300s\n", validator.name, question.Schema, question.name, err, question.Instance)
			}
		}
	}
	fmt.Printf("%d instances, 2 validators\n", len(asked))
	if wrong > 0 {
		os.Exit(1)
	}
}

func santhoshTekuri(path string) func([]byte) error {
	compiler := santhosh.NewCompiler()
	compiler.DefaultDraft(santhosh.Draft2020)
	compiler.AssertFormat()
	schema := must(compiler.Compile(path))
	return func(instance []byte) error {
		return schema.Validate(must(santhosh.UnmarshalJSON(bytes.NewReader(instance))))
	}
}

func googles(path string) func([]byte) error {
	var schema google.Schema
	check(json.Unmarshal(must(os.ReadFile(path)), &schema))
	resolved := must(schema.Resolve(nil))
	return func(instance []byte) error {
		var value any
		check(json.Unmarshal(instance, &value))
		return resolved.Validate(value)
	}
}

type question struct {
	name     string
	Schema   string
	Valid    bool
	Instance json.RawMessage
	Example  string
	At       string
	To       any
}

// Whether it is only the format that makes it wrong.
func (q question) format() bool {
	return strings.HasSuffix(q.At, "/time") || bytes.Contains(q.Instance, []byte(`"expires_at"`))
}

func questions(root string) []question {
	var all []question
	for _, path := range must(filepath.Glob(filepath.Join(root, "contract/examples/*.json"))) {
		name := filepath.Base(path)
		kind, _, _ := strings.Cut(name, ".")
		if name == "event.job.json" {
			kind = "job-event"
		}
		all = append(all, question{name: name, Schema: kind, Valid: true, Instance: must(os.ReadFile(path))})
	}
	var cases []question
	check(json.Unmarshal(must(os.ReadFile(filepath.Join(root, "tests/it/contract/cases.json"))), &cases))
	for index, question := range cases {
		question.name = fmt.Sprintf("case %d", index)
		if question.Example != "" {
			question.Instance = changed(must(os.ReadFile(filepath.Join(root, "contract/examples", question.Example))), question.At, question.To)
		}
		all = append(all, question)
	}
	return all
}

func changed(example []byte, at string, to any) []byte {
	var value any
	check(json.Unmarshal(example, &value))
	parts := strings.Split(at[1:], "/")
	node := value
	for _, part := range parts[:len(parts)-1] {
		switch inner := node.(type) {
		case map[string]any:
			node = inner[part]
		case []any:
			node = inner[must(strconv.Atoi(part))]
		}
	}
	node.(map[string]any)[parts[len(parts)-1]] = to
	return must(json.Marshal(value))
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
