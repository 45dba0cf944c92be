import { failure } from "@pare/core";

/**
 * Checks the name of a file that belongs to a model or artifact, as a file gives it or a writer chooses it, and gives
 * it back without `.` segments. A name is relative, uses `/`, and cannot leave the folder: absolute paths, drive
 * letters, backslashes, NUL, empty and `..` segments are refused. It says nothing about links on the disk.
 * @throws PareError `io/file-name`
 */
export function checkFileName(name: string): string {
  const refuse = (why: string) =>
    failure("io/file-name", `${JSON.stringify(name.slice(0, 200))} is refused as a file name: ${why}`, {
      hint: "Names of files beside a model are relative, use /, and stay in its folder.",
    });
  if (name === "") throw refuse("it is empty");
  if (name.includes("\0")) throw refuse("it holds a NUL");
  if (name.includes("\\")) throw refuse("it holds a backslash");
  if (name.startsWith("/")) throw refuse("it is absolute");
  if (/^[A-Za-z]:/.test(name)) throw refuse("it starts with a drive letter");
  const segments = name.split("/");
  if (segments.includes("..")) throw refuse("it holds a .. segment");
  if (segments.includes("")) throw refuse("it holds an empty segment");
  if (segments.at(-1) === ".") throw refuse("it names a folder");
  return segments.filter((s) => s !== ".").join("/");
}
