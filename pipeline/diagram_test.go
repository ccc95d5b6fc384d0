package pipeline_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"backburn/pipeline"
)

var update = flag.Bool("update", false, "write the generated part of docs/state-machine.md")

const (
	statesFile  = "../docs/state-machine.md"
	statesBegin = "<!-- generated from Decide: go test ./pipeline -run TestStateDiagram -update -->\n"
	statesEnd   = "<!-- end of the generated part -->\n"
)

// The diagram and the table of the page match what Decide does with the rows of its test table,
// which covers every state and all news.
func TestStateDiagram(t *testing.T) {
	t.Parallel()

	page, err := os.ReadFile(statesFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), statesBegin)
	is, after, ended := strings.Cut(rest, statesEnd)
	if !ok || !ended {
		t.Fatalf("%s has no generated part", statesFile)
	}

	want := stateDiagram() + "\n" + stepTable(t)
	if *update {
		if err := os.WriteFile(statesFile, []byte(before+statesBegin+want+statesEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if is != want {
		t.Errorf("%s is not what Decide does; run go test ./pipeline -run TestStateDiagram -update\n%s", statesFile, want)
	}
}

func stateName(s pipeline.State) string {
	if s == pipeline.StateNone {
		return "none"
	}

	return string(s)
}

// stateDiagram draws the transitions between states, with the news that causes them.
func stateDiagram() string {
	events := map[[2]pipeline.State][]string{}
	for _, d := range decisions() {
		s, j, p := d.arguments()
		_, next := pipeline.Decide(s, j, d.news, p, decideNow)
		edge := [2]pipeline.State{s.State, next.State}
		if name := newsName(d.news); s.State != next.State && !slices.Contains(events[edge], name) {
			events[edge] = append(events[edge], name)
		}
	}

	var b strings.Builder
	b.WriteString("```mermaid\nstateDiagram-v2\n    [*] --> none\n")
	for _, from := range pipeline.States() {
		for _, to := range pipeline.States() {
			if on := events[[2]pipeline.State{from, to}]; len(on) > 0 {
				slices.Sort(on)
				fmt.Fprintf(&b, "    %s --> %s: %s\n", stateName(from), stateName(to), strings.Join(on, ", "))
			}
		}
	}
	b.WriteString("```\n")

	return b.String()
}

// stepTable lists the possible steps for each state and news.
func stepTable(t *testing.T) string {
	t.Helper()
	type cell struct {
		state pipeline.State
		event string
	}
	steps := map[cell][]string{}
	for _, d := range decisions() {
		s, j, p := d.arguments()
		step, _ := pipeline.Decide(s, j, d.news, p, decideNow)
		c := cell{s.State, newsName(d.news)}
		if name := step.Kind.String(); !slices.Contains(steps[c], name) {
			steps[c] = append(steps[c], name)
		}
	}

	var b strings.Builder
	b.WriteString("| news |")
	for _, s := range pipeline.States() {
		fmt.Fprintf(&b, " %s |", stateName(s))
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(pipeline.States())) + "\n")
	for _, e := range newsNames(t) {
		fmt.Fprintf(&b, "| `%s` |", e)
		for _, s := range pipeline.States() {
			slices.Sort(steps[cell{s, e}])
			fmt.Fprintf(&b, " %s |", strings.Join(steps[cell{s, e}], ", "))
		}
		b.WriteString("\n")
	}

	return b.String()
}

// Every transition that a sample can make is in the table, and therefore on the page.
func TestDecideTableShowsEveryTransition(t *testing.T) {
	t.Parallel()

	type transition struct {
		from, to pipeline.State
		event    string
		step     pipeline.StepKind
	}
	shown := map[transition]bool{}
	for _, d := range decisions() {
		s, j, p := d.arguments()
		step, next := pipeline.Decide(s, j, d.news, p, decideNow)
		shown[transition{s.State, next.State, newsName(d.news), step.Kind}] = true
	}

	for seed := range uint64(50_000) {
		r := rand.New(rand.NewPCG(seed, 3))
		s := randomSample(r)
		j := randomJob(r)
		p := randomCircumstances(r)
		e := randomNews(r, s, p)
		step, next := pipeline.Decide(s, j, e, p, decideNow)
		if found := (transition{s.State, next.State, newsName(e), step.Kind}); !shown[found] {
			shown[found] = true
			t.Errorf("no row for the news %s in state %s with the step %s and the new state %s", found.event, stateName(found.from), found.step, stateName(found.to))
		}
	}
}
