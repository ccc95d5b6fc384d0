package pipeline

import "slices"

// Wish says whether a rule of the policy wants the report about contents.
type Wish string

// The wishes.
const (
	ReportByVerdict Wish = ""       // as reports.verdicts says
	ReportAlways    Wish = "always" // for every verdict
	ReportNever     Wish = "never"
)

// Wishes lists every wish, the one that asks for most first.
func Wishes() []Wish { return []Wish{ReportAlways, ReportByVerdict, ReportNever} }

// rank ranks wishes: the more a wish asks for, the greater.
func (w Wish) rank() int { return -slices.Index(Wishes(), w) }

// wants reports whether the report is wanted. listed says that reports.verdicts names the verdict.
func (w Wish) wants(listed bool) bool { return w == ReportAlways || w == ReportByVerdict && listed }

// ReportWishes has, for each source with jobs for the same contents, the wish that asks for most.
type ReportWishes map[string]Wish
