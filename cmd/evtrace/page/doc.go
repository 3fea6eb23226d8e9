// Package page makes the report of a trace: what was found, told so that somebody who has only the report can follow it.
//
// Start with [New], which reads the parts of a trace that the report shows and gives a [Document], and write that with
// [Document.HTML], [Document.Markdown] or [Document.Text]. [Document.Figure] finds one picture, and [Figure.SVG] draws it on its own.
//
// A Document is data: sections of paragraphs, lists, tables and figures. All that is to be said is in it before anything is
// written, so the three forms and JSON say the same. Its size does not grow with the trace: findings, rows and buckets that are left
// out are counted.
//
// # Promises
//
// The HTML is one file: it loads nothing, from nowhere, and can be read without its script, which only switches the theme. Its links
// lead to places in it. Text has at most 72 columns, and ASCII alone where the trace's own names have nothing else. Markdown names
// events so that GitHub does not take them for issues. What a trace says (names of tasks, notes) is escaped or cleaned. The same
// input gives the same bytes.
//
// # What it refuses to do
//
// It judges nothing, opens no file and has no clock: the date of the report is that of whoever sends it.
package page
