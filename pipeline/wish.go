package pipeline

import "slices"

// Wish is what a rule of the policy wants of the report about contents.
type Wish string

// The wishes.
const (
	ReportByVerdict Wish = ""       // as reports.verdicts says
	ReportAlways    Wish = "always" // whatever the verdict
	ReportNever     Wish = "never"
)

// Wishes lists every wish, the one that asks for most first.
func Wishes() []Wish { return []Wish{ReportAlways, ReportByVerdict, ReportNever} }

// asks is greater where a wish asks for more.
func (w Wish) asks() int { return -slices.Index(Wishes(), w) }

// wants reports whether the report is wanted. listed says that reports.verdicts names the verdict.
func (w Wish) wants(listed bool) bool { return w == ReportAlways || w == ReportByVerdict && listed }

// ReportWishes are the wishes of the jobs with the same contents: of each source the one that asks
// for most.
type ReportWishes map[string]Wish
