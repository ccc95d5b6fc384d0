// Package fleet holds what the processes of a fleet agree on: which members are alive, which of
// them leads, which budgets are paused until when, and how much of each budget is left today. All
// this is kept in one bucket (Store), so the processes need not know each other.
//
// The package decides nothing about jobs.
package fleet
