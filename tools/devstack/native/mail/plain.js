// In place of the mail server's page, which npm builds from its sources: where mails are without it.
const links = [
  ["mails", "api/v1/messages"],
  ["a search", "api/v1/search?query=to:ada@example.org"],
  ["the newest mail as text", "view/latest.txt"],
];
const list = links.map(([name, link]) => `<li><a href="${link}">${name}</a> (${link})</li>`).join("");
document.body.innerHTML = `<h1>Mails</h1><p>Built without npm, this page is plain. The API has all mails:</p><ul>${list}</ul>`;
