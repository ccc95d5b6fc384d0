// Package fleet holds what the processes of a fleet agree on: which members are alive, which of
// them leads, which budget is paused until when, and how much of it is left today. All of it is
// kept in one bucket under compare-and-set (Store), so the processes need not know each other.
//
// It decides nothing about jobs.
package fleet
